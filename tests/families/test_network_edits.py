"""Edits of what a network computes: a handle with one is another function, and the network is as before afterwards."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine.core.errors import NodeError
from engine.diffusion.condition_inputs import ConditionInputs
from engine.diffusion.conditioning import ConditioningEntry
from engine.diffusion.guidance.self_attention import SelfAttentionGuidance
from engine.diffusion.guiders.basic import Basic
from engine.diffusion.guiders.cfg import Cfg
from engine.diffusion.requests import drive
from engine.nn.attention import SpatialTransformer
from engine.nn.edits.attention_map import AttentionMap
from engine.nn.edits.compiled import Compiled, compile_to_the_end, is_compiling
from engine.nn.edits.free_u import FreeU
from engine.nn.edits.hyper_tile import HyperTile, tiles_along
from engine.nn.edits.identity_attention import IdentityAttention
from engine.nn.edits.token_merging import match_tokens
from nodes.model_edits import (
    compile_model,
    deep_shrink,
    free_u,
    free_u_2,
    hyper_tile,
    merge_tokens,
    perturbed_attention,
    self_attention_guidance,
)
from nodes.model_sampling import compute_in
from tests.tiny_sd1 import host_with, shallow_checkpoint, store_on


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return store_on(host_with()).open_checkpoint(shallow_checkpoint(tmp_path_factory.mktemp("edits")))[0]


MERGED = Path(__file__).parents[1] / "data" / "token_merging.json"
X = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(1))
CONTEXT = torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(2))


def predict(model: Any, sigmas: tuple[float, ...] = (3.0, 3.0)) -> torch.Tensor:
    return model.denoise(X[: len(sigmas)], torch.tensor(sigmas), ConditionInputs(CONTEXT))


def shrunk(model: Any, **options: Any) -> Any:
    given = {"start_percent": 0.0, "end_percent": 1.0, "downscale_method": "bicubic", "upscale_method": "bicubic"}
    return deep_shrink(model=model, **{"block_number": 1, **given, **options})


def edited(model: Any) -> list[Any]:
    return [
        free_u(model),
        free_u_2(model),
        model.with_edit(IdentityAttention()),
        shrunk(model),
        shrunk(model, downscale_after_skip=False),
        shrunk(model, block_number=3),
        hyper_tile(model, 64),
        hyper_tile(model, 32, 2, 1, True),
        merge_tokens(model, 0.5),
    ]


def test_an_edit_changes_the_prediction_for_its_handle_only(model: Any) -> None:
    plain = predict(model)
    for handle in edited(model):
        result = predict(handle)
        assert result.shape == plain.shape
        assert not torch.allclose(result, plain, atol=1e-4)
        assert torch.equal(predict(model), plain)


def test_an_edit_is_part_of_what_decides_which_forwards_merge(model: Any) -> None:
    identities = [handle.identity for handle in (model, *edited(model))]
    assert len(set(identities)) == len(identities)
    assert free_u(model).identity == free_u(model).identity


def test_factors_of_one_leave_the_prediction_as_it_is(model: Any) -> None:
    plain = predict(model)
    for version in (free_u, free_u_2):
        assert torch.allclose(predict(version(model, 1.0, 1.0, 1.0, 1.0)), plain, atol=1e-5)
    assert torch.allclose(predict(shrunk(model, downscale_factor=1.0)), plain, atol=1e-5)
    assert torch.equal(predict(shrunk(model, block_number=32)), plain)


def test_a_compiled_model_is_another_function_of_equal_weights(model: Any) -> None:
    compiled = compile_model(model, "inductor")
    assert compiled.identity != model.identity
    assert compiled.edits == (Compiled("inductor"),)
    with pytest.raises(NodeError, match="CUDA device"):
        compile_model(model, "cudagraphs")


@pytest.mark.thorough
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("backend", ["eager", "inductor"])
def test_a_compiled_network_computes_what_the_plain_one_computes(model: Any, backend: str) -> None:
    compiled, position = model.with_edit(Compiled(backend)), model.host.ledger.position
    for _ in range(2):
        assert torch.allclose(predict(compiled), predict(model), atol=1e-4)
        compile_to_the_end()
    assert torch.equal(predict(free_u(compiled)), predict(free_u(model)))
    told = [change.why for change in model.host.ledger.since(position) if change.kind == "uncompiled"]
    assert len(told) == 1
    assert "other changes" in told[0]


@pytest.mark.thorough
def test_a_network_is_compiled_while_the_edit_is_applied_and_as_before_afterwards() -> None:
    network, x, counting = nn.Linear(4, 4), torch.randn(2, 4), CountingCompiler()
    with torch.no_grad():
        wanted = network(x)
        for num_runs in (0, 1):
            with Compiled(counting).applied(network):  # type: ignore[arg-type]
                assert torch.equal(network(x), wanted)
            compile_to_the_end()
            assert (counting.num_graphs, counting.num_runs) == (1, num_runs)
        assert torch.equal(network(x), wanted)
    assert "forward" not in vars(network)


class CountingCompiler:
    """A backend of torch's that runs graphs as they are and counts them, or fails, or waits to be let on."""

    def __init__(self, failure: str = "", is_free: threading.Event | None = None) -> None:
        self.num_graphs = self.num_runs = 0
        self._failure, self._is_free = failure, is_free

    def __call__(self, graph: Any, inputs: Any) -> Any:
        self.num_graphs += 1
        if self._is_free is not None:
            assert self._is_free.wait(60)
        if self._failure:
            raise RuntimeError(self._failure)

        def run(*values: Any) -> Any:
            self.num_runs += 1
            return graph(*values)

        return run


@pytest.mark.timeout(300)
def test_no_job_waits_for_the_compiler(model: Any) -> None:
    is_free = threading.Event()
    counting = CountingCompiler(is_free=is_free)
    compiled, position = model.with_edit(Compiled(counting)), model.host.ledger.position  # type: ignore[arg-type]
    plain = predict(model)
    for _ in range(3):
        assert torch.allclose(predict(compiled), plain, atol=1e-5)
    assert counting.num_runs == 0
    assert [change.kind for change in model.host.ledger.since(position)].count("compiling") == 1
    is_free.set()
    compile_to_the_end()
    assert torch.allclose(predict(compiled), plain, atol=1e-5)
    assert (counting.num_graphs, counting.num_runs) == (1, 1)


@pytest.mark.timeout(300)
def test_a_network_is_said_to_be_compiling_until_it_is_compiled() -> None:
    is_free = threading.Event()
    network, counting = nn.Linear(4, 4), CountingCompiler(is_free=is_free)
    with torch.no_grad(), Compiled(counting).applied(network):  # type: ignore[arg-type]
        assert not is_compiling(network)
        network(torch.randn(2, 4))
        assert is_compiling(network)
        is_free.set()
        compile_to_the_end()
        assert not is_compiling(network)


@pytest.mark.thorough
@pytest.mark.timeout(1800)
def test_where_the_compiler_fails_the_plain_network_makes_the_picture_and_the_story_says_so_once(model: Any) -> None:
    refusing = CountingCompiler("no compiler here")
    compiled = model.with_edit(Compiled(refusing))  # type: ignore[arg-type]
    position = model.host.ledger.position
    plain = predict(model)
    for _ in range(3):
        assert torch.allclose(predict(compiled), plain, atol=1e-5)
        compile_to_the_end()
    assert refusing.num_graphs == 1
    (told,) = [change for change in model.host.ledger.since(position) if change.kind == "uncompiled"]
    assert told.what == "network of shallow.safetensors"
    assert "no compiler here" in told.why
    assert "install a C++ compiler" in told.why


@pytest.mark.thorough
@pytest.mark.timeout(1800)
def test_a_warm_network_is_not_compiled_again_and_new_sizes_do_not_compile_for_ever(model: Any) -> None:
    counting = CountingCompiler()
    compiled = model.with_edit(Compiled(counting))  # type: ignore[arg-type]

    def predict_at(height: int, width: int) -> None:
        x = torch.zeros(1, 4, height, width)
        for _ in range(2):
            compiled.denoise(x, torch.tensor([3.0]), ConditionInputs(CONTEXT))
            compile_to_the_end()

    seen = []
    for _ in range(2):
        predict_at(16, 16)
        seen.append(counting.num_graphs)
    model.host.free()
    predict_at(16, 16)
    assert [*seen, counting.num_graphs] == [1, 1, 1]
    for _ in range(2):
        for number in range(5):
            predict_at(18 + 2 * number, 16 + 2 * number)
        seen.append(counting.num_graphs)
    assert seen[-2] == seen[-1] < 5


@pytest.mark.thorough
@pytest.mark.timeout(1800)
def test_a_compiled_network_notices_hooks_that_come_and_go() -> None:
    network, x = nn.Sequential(nn.Linear(4, 4)), torch.randn(2, 4)

    def doubled(module: nn.Module, arguments: Any) -> Any:
        return (arguments[0] * 2,)

    with torch.no_grad():
        for _ in range(2):
            with Compiled("eager").applied(network):
                for _ in range(2):
                    assert torch.allclose(network(x), network[0](x))
                    compile_to_the_end()
                hook = network[0].register_forward_pre_hook(doubled)
                assert torch.allclose(network(x), nn.functional.linear(2 * x, network[0].weight, network[0].bias))
                hook.remove()


@pytest.mark.thorough
def test_an_error_of_the_network_is_not_put_down_to_the_compiler(model: Any) -> None:
    compiled, position = model.with_edit(Compiled("eager")), model.host.ledger.position
    with pytest.raises(RuntimeError, match="Expected size"):
        compiled.denoise(X, torch.tensor([3.0, 3.0]), ConditionInputs(torch.zeros(1, 5, 31)))
    kinds = [change.kind for change in model.host.ledger.since(position)]
    assert "uncompiled" not in kinds


def test_a_model_computes_in_the_precision_a_node_asks_for(model: Any) -> None:
    assert compute_in(model, "default") is model
    assert compute_in(model, "fp32").host.compute_dtype(compute_in(model, "fp32").source) == torch.float32
    narrow, plain = compute_in(model, "bf16"), predict(model)
    assert narrow.identity != model.identity
    error = float((predict(narrow) - plain).norm() / plain.norm())
    assert 1e-5 < error < 0.1
    assert torch.equal(predict(model), plain)


def test_merging_no_tokens_leaves_the_prediction_as_it_is(model: Any) -> None:
    assert torch.equal(predict(merge_tokens(model, 0.0)), predict(model))


@pytest.mark.parametrize(
    "case", json.loads(MERGED.read_text())["cases"], ids=lambda case: f"{case['size']} {case['joining']}"
)
def test_tokens_are_merged_as_tomesd_merges_them(case: dict[str, Any]) -> None:
    height, width = case["size"]
    tokens = torch.randn(2, height * width, 3, generator=torch.Generator().manual_seed(case["seed"]))
    merge, spread = match_tokens(tokens, (height, width), case["joining"])
    assert merge(tokens).shape[1] == case["num_left"]
    assert torch.allclose(spread(merge(tokens)), torch.tensor(case["spread"]), atol=1e-4)


def test_a_merged_forward_applies_an_edit_to_the_items_in_its_range(model: Any) -> None:
    table = model.parameterization.sigma_table
    early, late = table.sigma_at_fraction(0.1), table.sigma_at_fraction(0.9)
    handle = shrunk(model, end_percent=0.5)
    both = predict(handle, (early, late))
    always = shrunk(model)
    assert torch.allclose(both[:1], predict(always, (early, late))[:1], atol=1e-4)
    assert torch.allclose(both[1:], predict(model, (early, late))[1:], atol=1e-4)


def test_tiles_are_the_smallest_that_divide_the_picture_and_take_turns_if_there_are_more_sizes() -> None:
    assert [tiles_along(96, 32, 1, turn) for turn in range(3)] == [3, 3, 3]
    assert [tiles_along(96, 32, 2, turn) for turn in range(3)] == [3, 3, 3]
    assert [tiles_along(96, 32, 3, turn) for turn in range(3)] == [3, 2, 3]
    assert tiles_along(8, 32, 2, 0) == 1
    assert tiles_along(97, 32, 2, 0) == 1


def test_a_picture_of_one_tile_is_as_without_tiles(model: Any) -> None:
    assert torch.equal(predict(hyper_tile(model, 128)), predict(model))


def test_a_tile_attends_to_its_share_of_the_tokens_in_reading_order() -> None:
    torch.manual_seed(0)
    transformer = SpatialTransformer(32, 8, 4, 1)
    for weight in transformer.parameters():
        nn.init.normal_(weight, std=0.2)
    attention = transformer.transformer_blocks[0].attn1
    tokens = torch.randn(2, 64, 32)
    edit = HyperTile(4, 1, 0, False)
    edit._tile([8, 8], 0)(transformer, (torch.zeros(2, 32, 8, 8), None))
    tiled = attention(tokens, tokens)
    corner = [row * 8 + column for row in range(4) for column in range(4)]
    del attention.forward
    assert torch.allclose(tiled[:, corner], attention(tokens[:, corner], tokens[:, :16]), atol=1e-5)


def test_a_failed_forward_leaves_no_edit_behind(model: Any) -> None:
    plain = predict(model)
    for handle in edited(model):
        with pytest.raises(RuntimeError):
            handle.denoise(X, torch.tensor([3.0, 3.0]), ConditionInputs(CONTEXT[..., :7]))
        assert torch.equal(predict(model), plain)


def test_perturbed_attention_leads_away_from_the_edited_prediction(model: Any) -> None:
    entries = (ConditioningEntry(context=CONTEXT),)
    handle = perturbed_attention(model, 2.0)
    assert handle.identity == model.identity
    result = drive(Basic(handle, entries).bind(X, None)(X, 3.0)).denoised
    plain, damaged = predict(model), predict(model.with_edit(IdentityAttention()))
    assert torch.allclose(result, plain + (plain - damaged) * 2.0, atol=1e-4)
    unchanged = drive(Basic(perturbed_attention(model, 0.0), entries).bind(X, None)(X, 3.0)).denoised
    assert torch.allclose(unchanged, plain, atol=1e-5)


def test_the_attention_that_places_receive_is_an_even_share_on_average(model: Any) -> None:
    plain = predict(model)
    received = predict(SelfAttentionGuidance(AttentionMap(), 1.0, 1.0).attentive(model))
    assert received.shape == X.shape
    assert torch.equal(received, received[:, :1].expand_as(received))
    assert torch.allclose(received.mean(dim=(2, 3)), torch.ones(2, 4), atol=1e-4)
    assert received.min() >= 0
    assert received.std() > 0
    assert torch.equal(predict(model), plain)


def test_self_attention_guidance_leads_away_from_the_blurred_picture_of_the_negative_side(model: Any) -> None:
    positive = (ConditioningEntry(context=CONTEXT),)
    negative = (ConditioningEntry(context=-CONTEXT),)
    handle = self_attention_guidance(model, 0.7, 2.0)
    assert handle.identity == model.identity
    wanted, unwanted = (model.denoise(X, torch.full((2,), 3.0), ConditionInputs(c)) for c in (CONTEXT, -CONTEXT))
    raw = handle.guidance.corrections[0].attentive(model)
    received = raw.denoise(X, torch.full((2,), 3.0), ConditionInputs(-CONTEXT))
    # A blur made with whole kernels, to compare with the two passes.
    line = torch.exp(-0.5 * (torch.arange(-4.0, 5.0) / 2.0) ** 2)
    kernel = (line[:, None] * line / line.sum() ** 2).expand(4, 1, 9, 9)
    padded = torch.nn.functional.pad(unwanted, (4, 4, 4, 4), mode="reflect")
    blurred = torch.nn.functional.conv2d(padded, kernel, groups=4)
    degraded = torch.where(received > 1, blurred, unwanted)
    again = model.denoise(degraded + X - unwanted, torch.full((2,), 3.0), ConditionInputs(-CONTEXT))
    expected = unwanted + (wanted - unwanted) * 4.0 + (degraded - again) * 0.7
    result = drive(Cfg(handle, positive, negative, 4.0).bind(X, None)(X, 3.0)).denoised
    assert torch.allclose(result, expected, atol=1e-3)
    unchanged = drive(Cfg(self_attention_guidance(model, 0.0), positive, negative, 4.0).bind(X, None)(X, 3.0)).denoised
    assert torch.allclose(unchanged, unwanted + (wanted - unwanted) * 4.0, atol=1e-3)


def test_an_edit_of_a_u_net_refuses_another_network() -> None:
    with pytest.raises(NodeError, match="U-Net"), FreeU((1.1, 1.2), (0.9, 0.2)).applied(nn.Linear(2, 2)):
        pass


def test_edits_work_with_weights_that_are_streamed(model: Any, tmp_path: Path) -> None:
    path = shallow_checkpoint(tmp_path)
    small = store_on(host_with(3 << 20)).open_checkpoint(path)[0]
    roomy = store_on(host_with()).open_checkpoint(path)[0]
    for ours, wanted in zip(edited(small), edited(roomy), strict=True):
        assert torch.allclose(predict(ours), predict(wanted), atol=1e-4)
