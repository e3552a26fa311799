"""Controls on a model: which files open, when and where they apply, how they add up, and what shares a forward."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.core.errors import CheckpointError, NodeError
from engine.diffusion.condition_inputs import ConditionInputs, merge_inputs
from engine.diffusion.conditioning import Area, ConditioningEntry, parse_conditioning, share_steering, to_pairs
from engine.diffusion.controls import ControlUse
from engine.diffusion.guiders.basic import Basic
from engine.diffusion.guiders.cfg import Cfg
from engine.diffusion.requests import DenoiseRequest, answer
from engine.families.grounding.opening import open_grounding
from engine.families.steering import run_controls
from engine.weights.checkpoint import open_checkpoint
from nodes.control import (
    apply_control,
    apply_control_to_both,
    encode_text_for_controls,
    load_control,
    load_control_on_model,
    set_control_kind,
)
from nodes.grounding import load_gligen, place_phrase
from nodes.model_edits import deep_shrink, free_u
from tests.control_files import control_file, gligen_file, lora_file, opened, picture, unet_weights
from tests.tiny_families import layout_file
from tests.tiny_sd1 import host_with, shallow_checkpoint, store_on

X = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(1))
CONTEXT = torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("controls")


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return store_on(host_with()).open_checkpoint(shallow_checkpoint(folder))[0]


@pytest.fixture(scope="module")
def control(folder: Path) -> Any:
    return opened(control_file(folder))


def inputs_for(model: Any, *uses: ControlUse, sigma: float = 3.0) -> ConditionInputs:
    return model.condition(ConditioningEntry(CONTEXT, controls=uses), X, None).at(sigma)


def predict(model: Any, *uses: ControlUse) -> torch.Tensor:
    return model.denoise(X, torch.full((2,), 3.0), inputs_for(model, *uses))


def pairs(**options: Any) -> list[Any]:
    return [[CONTEXT, options]]


def test_a_control_changes_the_prediction_by_its_strength_and_none_at_strength_zero(model: Any, control: Any) -> None:
    plain = predict(model)
    weak, strong = (float((predict(model, ControlUse(control, picture(), s)) - plain).norm()) for s in (0.2, 1.0))
    assert 0 < weak < strong
    assert torch.equal(predict(model, ControlUse(control, picture(), 0.0)), plain)
    given = pairs()
    assert apply_control(given, control, picture(), 0.0) is given
    assert apply_control_to_both(given, given, control, picture(), 0.0)[1] is given


def test_chained_controls_add_up(model: Any, control: Any, folder: Path) -> None:
    first = ControlUse(control, picture(), 0.6)
    second = ControlUse(opened(control_file(folder, seed=1, name="second")), picture(4), 1.5)
    noise = torch.full((2,), 500.0)
    alone = [run_controls(inputs_for(model, use), X, noise) for use in (first, second)]
    together = run_controls(inputs_for(model, first, second), X, noise)
    for number, residual in together.skips.items():
        assert torch.allclose(residual, sum(part.skips[number] for part in alone), atol=1e-5)
    assert torch.allclose(together.middle, alone[0].middle + alone[1].middle, atol=1e-5)


def test_a_control_applies_between_its_start_and_its_end_only(model: Any, control: Any) -> None:
    positive, negative = apply_control_to_both(pairs(), pairs(), control, picture(), 1.0, 0.3, 0.7)
    guide = Cfg(model, parse_conditioning(positive), parse_conditioning(negative), 2.0).bind(X, None)
    table = model.parameterization.sigma_table
    found = {}
    for fraction in (0.1, 0.3, 0.5, 0.7, 0.9):
        group = next(guide(X, table.sigma_at_fraction(fraction)))
        found[fraction] = [len(request.inputs.controls) for request in group.requests]
    assert found == {0.1: [0, 0], 0.3: [1, 1], 0.5: [1, 1], 0.7: [1, 1], 0.9: [0, 0]}


def test_requests_of_other_pictures_and_strengths_share_a_forward_and_agree_with_solo_runs(
    model: Any, control: Any
) -> None:
    inputs = [
        inputs_for(model, ControlUse(control, picture(seed), strength)) for seed, strength in ((3, 1.0), (4, 0.3))
    ]
    requests = [DenoiseRequest(model, X[n : n + 1], 3.0, part) for n, part in enumerate(inputs)]
    assert requests[0].batch_key == requests[1].batch_key
    merged = model.denoise(X, torch.full((2,), 3.0), merge_inputs(inputs, [1, 1]))
    for n, request in enumerate(requests):
        alone = request.denoiser.denoise(request.x, torch.tensor([3.0]), request.inputs)
        assert torch.allclose(merged[n : n + 1], alone, atol=1e-4)


def test_requests_of_other_networks_or_without_controls_do_not_share_a_forward(
    model: Any, control: Any, folder: Path
) -> None:
    other = opened(control_file(folder, seed=2, name="other"))
    chains = ([], [control], [other], [control, other])
    keys = [
        DenoiseRequest(model, X, 3.0, inputs_for(model, *(ControlUse(c, picture()) for c in chain))).batch_key
        for chain in chains
    ]
    assert len(set(keys)) == len(chains)


def test_every_item_of_a_batch_has_its_own_picture(model: Any, control: Any) -> None:
    both = predict(model, ControlUse(control, picture(count=2)))
    for n in range(2):
        alone = predict(model, ControlUse(control, picture(count=2)[n : n + 1]))
        assert torch.allclose(both[n], alone[n], atol=1e-4)


def test_a_batch_that_does_not_fit_the_memory_is_computed_in_parts(model: Any, control: Any, folder: Path) -> None:
    small = store_on(host_with(4 << 20))
    tight = small.open_checkpoint(shallow_checkpoint(folder))[0]
    use = ControlUse(small.open_control(folder / "control.safetensors"), picture(count=2), 0.5)
    assert torch.allclose(predict(tight, use), predict(model, replace(use, handle=control)), atol=1e-4)


def test_the_picture_is_scaled_to_the_window_of_an_area(model: Any, control: Any) -> None:
    entry = ConditioningEntry(CONTEXT, area=Area(8, 12, 0, 2), controls=(ControlUse(control, picture()),))
    group = next(Basic(model, (entry,)).bind(X, None)(X, 3.0))
    assert [tuple(hint.shape) for hint in group.requests[0].inputs.controls[0].hints] == [(1, 3, 64, 96)]
    assert answer(group)[0].shape == (2, 4, 8, 12)


def test_controls_and_edits_of_the_u_net_work_together(model: Any, control: Any) -> None:
    use = ControlUse(control, picture())
    methods = {"downscale_method": "bicubic", "upscale_method": "bicubic"}
    for edited in (free_u(model), deep_shrink(model=model, block_number=1, end_percent=1.0, **methods)):
        assert not torch.allclose(predict(edited, use), predict(model, use), atol=1e-4)
        assert not torch.allclose(predict(edited, use), predict(edited), atol=1e-4)


def test_a_control_follows_a_model_that_computes_in_another_precision(model: Any, control: Any) -> None:
    use, narrow = ControlUse(control, picture()), model.with_compute_dtype(torch.bfloat16)
    assert float((predict(narrow, use) - predict(model, use)).norm() / predict(model, use).norm()) < 0.1


def test_a_control_lora_is_the_base_with_its_low_rank_changes(model: Any, folder: Path) -> None:
    lora, whole = lora_file(folder, unet_weights(shallow_checkpoint(folder)))
    wanted = predict(model, ControlUse(opened(whole), picture()))
    assert torch.allclose(predict(model, ControlUse(opened(lora), picture())), wanted, atol=1e-4)
    assert torch.allclose(predict(model, ControlUse(opened(lora).on_base(model), picture())), wanted, atol=1e-4)


def test_a_controlnet_of_differences_takes_the_sampled_model_as_its_base(model: Any, folder: Path) -> None:
    base, whole = unet_weights(shallow_checkpoint(folder)), load_file(control_file(folder, name="whole_of_difference"))
    stored = {key: w - base.get(key.removeprefix("control_model."), torch.zeros(())) for key, w in whole.items()}
    save_file({**stored, "difference": torch.zeros(0)}, folder / "difference.safetensors")
    wanted = predict(model, ControlUse(opened(folder / "whole_of_difference.safetensors"), picture()))
    found = predict(model, ControlUse(opened(folder / "difference.safetensors"), picture()))
    assert torch.allclose(found, wanted, atol=1e-4)


def test_a_network_named_for_shuffling_adds_the_mean_over_each_map(model: Any, folder: Path) -> None:
    use = ControlUse(opened(control_file(folder, name="control_v11e_sd15_shuffle")), picture())
    residuals = run_controls(inputs_for(model, use), X, torch.full((2,), 500.0))
    assert {tuple(residual.shape[2:]) for residual in residuals.skips.values()} == {(1, 1)}


def test_the_old_node_steers_the_negative_side_unless_that_has_controls(control: Any) -> None:
    positive = parse_conditioning(apply_control(pairs(), control, picture()))
    plain = parse_conditioning(pairs())
    assert share_steering(positive, plain)[0].controls == positive[0].controls
    own = parse_conditioning(apply_control_to_both(pairs(), pairs(), control, picture(4))[1])
    assert share_steering(positive, own)[0].controls == own[0].controls
    assert share_steering(own, plain)[0].controls == ()
    assert len(share_steering((*positive, *positive), plain)) == 2
    assert parse_conditioning(to_pairs(positive))[0].controls == positive[0].controls


def test_controls_may_have_a_text_of_their_own(model: Any, control: Any, folder: Path) -> None:
    ctx, noise = Loading(folder), torch.full((2,), 500.0)
    clip = ctx.models.open_checkpoint(shallow_checkpoint(folder))[1]
    own = clip.encode("a red fox").context
    given = apply_control(encode_text_for_controls(clip, pairs(), "a red fox", ctx), control, picture())
    inputs = model.condition(parse_conditioning(given)[0], X, None)
    wanted = run_controls(replace(inputs_for(model, ControlUse(control, picture())), context=own), X, noise)
    for parts in ((inputs,), (inputs, inputs)):
        merged = merge_inputs(parts, [2] * len(parts)).rows(0, 2)
        assert torch.equal(merged.context[:1], CONTEXT)
        assert torch.allclose(run_controls(merged, X, noise).middle, wanted.middle, atol=1e-5)
    assert inputs.shape_class != inputs_for(model, ControlUse(control, picture())).shape_class


class Loading:
    """What loader nodes ask of the engine: a store, and files of one folder."""

    def __init__(self, folder: Path, budget_bytes: int = 1 << 30) -> None:
        self.models = store_on(host_with(budget_bytes))
        self._folder = folder

    def model_path(self, folder: str, name: str) -> Path:
        return self._folder / name

    def warn(self, message: str) -> None:
        raise AssertionError(message)


def test_loader_nodes_open_controls_once_and_put_differences_on_a_model(model: Any, folder: Path) -> None:
    control_file(folder, name="named")
    lora_file(folder, unet_weights(shallow_checkpoint(folder)))
    ctx = Loading(folder)
    assert load_control("named.safetensors", ctx) is load_control("named.safetensors", ctx)
    assert load_control_on_model(model, "named.safetensors", ctx) is load_control("named.safetensors", ctx)
    late, early = load_control("lora.safetensors", ctx), load_control_on_model(model, "lora.safetensors", ctx)
    assert early.identity == late.bound_to(model).identity


@pytest.mark.parametrize("budget_bytes", [1 << 30, 4 << 20])
def test_phrases_are_placed_on_both_sides_and_share_a_forward_with_others(folder: Path, budget_bytes: int) -> None:
    gligen_file(folder)
    ctx = Loading(folder, budget_bytes)
    model, clip, _ = ctx.models.open_checkpoint(shallow_checkpoint(folder))
    gligen = load_gligen("gligen.safetensors", ctx)
    one = place_phrase(pairs(), clip, gligen, "a red fox", ctx, 64, 64, 0, 0)
    two = place_phrase(one, clip, gligen, "a blue house", ctx, 64, 32, 64, 32)
    sides = [parse_conditioning(side) for side in (pairs(), one, two)]
    assert share_steering(sides[2], sides[0])[0].grounding == sides[2][0].grounding
    assert [len(side[0].grounding.phrases) for side in sides[1:]] == [1, 2]
    inputs = [model.condition(side[0], X, None) for side in sides]
    sigma = torch.full((1,), 3.0)
    plain, alone, both = (model.denoise(X[:1], sigma, part) for part in inputs)
    assert not torch.allclose(plain, alone, atol=1e-4)
    assert not torch.allclose(alone, both, atol=1e-4)
    assert len({DenoiseRequest(model, X, 3.0, part).batch_key for part in inputs}) == 2
    merged = model.denoise(X[:1].expand(2, -1, -1, -1), sigma.expand(2), merge_inputs(inputs[1:], [1, 1]))
    assert torch.allclose(merged, torch.cat([alone, both]), atol=1e-4)


def test_a_control_for_another_model_is_refused_by_name_of_its_sizes(model: Any, folder: Path, control: Any) -> None:
    canny = opened(layout_file("controlnet-sd15", folder))
    with pytest.raises(NodeError, match="widths 320, 640, 1280, 1280, text of 768; the model has widths 32, 64"):
        predict(model, ControlUse(canny, picture()))
    with pytest.raises(NodeError, match="T2I-Adapter makes features of widths"):
        predict(model, ControlUse(opened(layout_file("t2i-adapter-sd15-canny", folder)), picture()))
    with pytest.raises(NodeError, match="must come from an Apply ControlNet node"):
        parse_conditioning(pairs(control=object()))
    assert set_control_kind(control, "tile") is control


def test_a_file_that_is_no_control_is_refused_by_what_it_holds(folder: Path) -> None:
    for open_file in (opened, lambda path: open_grounding(open_checkpoint(path), host_with(), str)):
        with pytest.raises(CheckpointError, match="CLIP text encoder"):
            open_file(layout_file("clip-l", folder))


@pytest.mark.parametrize(
    "name",
    [
        "controlnet-sd15", "controlnet-sd15-full", "controlnet-sd15-diffusers", "controlnet-sd21",
        "controlnet-sd21-diffusers", "controlnet-sdxl-diffusers", "control-lora-sdxl-rank128",
        "control-lora-sdxl-rank256", "t2i-adapter-sd15-canny", "t2i-adapter-sd15-depth", "t2i-adapter-sd15-color",
        "t2i-adapter-sdxl", "t2i-adapter-sdxl-diffusers",
    ],
)  # fmt: skip
def test_published_files_open_with_every_key_used(name: str, tmp_path: Path) -> None:
    found = opened(layout_file(name, tmp_path))
    widths = found.config.channels if name.startswith("t2i") else found.config.encoder.channel_mult
    assert len(widths) == (3 if "sdxl" in name and "t2i" not in name else 4)


def test_the_published_gligen_file_opens_with_every_key_used(tmp_path: Path) -> None:
    path = layout_file("gligen-sd14-textbox", tmp_path)
    found = open_grounding(open_checkpoint(path), host_with(), str)
    assert len(found.fusers) == 16
    assert (found.config.text_width, found.config.num_frequencies) == (768, 8)
