"""Each algorithm's change of a weight, written out value by value, and what the keys of adapter files say."""

from __future__ import annotations

import json
import math
from itertools import product

import pytest
import torch
from torch import Tensor

from engine.weights.adapters.keys import read_modules
from engine.weights.adapters.patch import AdapterPatch, bias_change, weight_change
from engine.weights.adapters.tensors import Change, HeldTensors

torch.set_num_threads(1)
OUT, IN, RANK, KERNEL = 6, 4, 3, 2


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape) + 31 * len(shape)))


def change_of(tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> Change:
    modules = read_modules(HeldTensors({f"m.{end}": tensor for end, tensor in tensors.items()}, metadata)).modules
    change = weight_change(modules["m"])
    assert change is not None
    return change


def alpha(value: float) -> Tensor:
    return torch.tensor(value)


# ------------------------------------------------------------------ the algorithms


@pytest.mark.parametrize(
    ("up", "down"),
    [
        ("lora_up.weight", "lora_down.weight"),
        ("lora_B.weight", "lora_A.weight"),
        ("lora_B.default.weight", "lora_A.default.weight"),
        ("lora.up.weight", "lora.down.weight"),
        ("lora_linear_layer.up.weight", "lora_linear_layer.down.weight"),
    ],
)
def test_a_lora_adds_its_product_times_alpha_over_rank(up: str, down: str) -> None:
    tensors = {up: draw(OUT, RANK), down: draw(RANK, IN)}
    found = change_of({**tensors, "alpha": alpha(1.5)}).change(torch.zeros(OUT, IN))
    for o, i in product(range(OUT), range(IN)):
        wanted = 0.5 * sum(float(tensors[up][o, r] * tensors[down][r, i]) for r in range(RANK))
        assert float(found[o, i]) == pytest.approx(wanted, abs=1e-5)
    assert torch.allclose(change_of(tensors).change(torch.zeros(OUT, IN)), found * 2)


def test_a_lora_of_a_convolution_equals_its_two_convolutions_in_a_row() -> None:
    up, down, x = draw(OUT, RANK, 1, 1), draw(RANK, IN, 3, 3), draw(1, IN, 5, 5)
    change = change_of({"lora_up.weight": up, "lora_down.weight": down, "alpha": alpha(RANK)})
    assert change.fits((OUT, IN, 3, 3))
    merged = torch.conv2d(x, change.change(torch.zeros(OUT, IN, 3, 3)))
    assert torch.allclose(merged, torch.conv2d(torch.conv2d(x, down), up), atol=1e-4)


def test_a_lora_with_a_kernel_between_equals_its_three_convolutions_in_a_row() -> None:
    up, mid, down, x = draw(OUT, 2, 1, 1), draw(2, RANK, 3, 3), draw(RANK, IN, 1, 1), draw(1, IN, 5, 5)
    change = change_of({"lora_up.weight": up, "lora_mid.weight": mid, "lora_down.weight": down})
    assert change.fits((OUT, IN, 3, 3))
    merged = torch.conv2d(x, change.change(torch.zeros(OUT, IN, 3, 3)))
    in_a_row = torch.conv2d(torch.conv2d(torch.conv2d(x, down), mid), up)
    assert torch.allclose(merged, in_a_row, atol=1e-4)


def test_a_loha_multiplies_two_products_value_by_value() -> None:
    factors = {f"hada_w{n}_{s}": draw(OUT, RANK) + n if s == "a" else draw(RANK, IN) for n in (1, 2) for s in "ab"}
    found = change_of({**factors, "alpha": alpha(6.0)}).change(torch.zeros(OUT, IN))
    for o, i in product(range(OUT), range(IN)):
        sums = [
            sum(float(factors[f"hada_w{n}_a"][o, r] * factors[f"hada_w{n}_b"][r, i]) for r in range(RANK))
            for n in (1, 2)
        ]
        assert float(found[o, i]) == pytest.approx(2 * sums[0] * sums[1], rel=1e-4, abs=1e-4)


def test_a_loha_with_kernels_multiplies_two_small_convolutions_value_by_value() -> None:
    tensors = {}
    for n in (1, 2):
        tensors |= {
            f"hada_t{n}": draw(RANK, RANK, KERNEL, KERNEL) * n,
            f"hada_w{n}_a": draw(RANK, OUT),
            f"hada_w{n}_b": draw(RANK, IN),
        }
    change = change_of(tensors)
    assert change.fits((OUT, IN, KERNEL, KERNEL))
    found = change.change(torch.zeros(OUT, IN, KERNEL, KERNEL))
    for o, i, y, x in product(range(OUT), range(IN), range(KERNEL), range(KERNEL)):
        sums = [
            sum(
                float(tensors[f"hada_t{n}"][p, q, y, x] * tensors[f"hada_w{n}_a"][p, o] * tensors[f"hada_w{n}_b"][q, i])
                for p, q in product(range(RANK), repeat=2)
            )
            for n in (1, 2)
        ]
        assert float(found[o, i, y, x]) == pytest.approx(sums[0] * sums[1], rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(
    ("shape", "form"),
    [((6, 4), "whole"), ((6, 4), "low rank")] + [((6, 4, 2, 2), form) for form in ("whole", "low rank", "kernel")],
)
def test_a_lokr_puts_a_multiple_of_one_factor_into_every_block(shape: tuple[int, ...], form: str) -> None:
    kernel = shape[2:]
    first = draw(2, 2)
    if form == "kernel":
        core, left, right = draw(RANK, RANK, *kernel), draw(RANK, 3), draw(RANK, 2)
        second = torch.einsum("pqyx,po,qi->oiyx", core, left, right)
        tensors, scale = {"lokr_t2": core, "lokr_w2_a": left, "lokr_w2_b": right}, 2.0
    elif form == "low rank":
        left, right = draw(3, RANK), draw(RANK, 2 * math.prod(kernel))
        second = (left @ right).reshape(3, 2, *kernel)
        tensors, scale = {"lokr_w2_a": left, "lokr_w2_b": right}, 2.0
    else:
        second = draw(3, 2, *kernel)
        tensors, scale = {"lokr_w2": second}, 1.0
    change = change_of({"lokr_w1": first, **tensors, "alpha": alpha(6.0)})
    assert change.fits(shape)
    found = change.change(torch.zeros(shape))
    for a, b in product(range(2), repeat=2):
        block = found[3 * a : 3 * a + 3, 2 * b : 2 * b + 2]
        assert torch.allclose(block, scale * first[a, b] * second, atol=1e-4)


def test_an_oft_turns_blocks_of_rows_and_keeps_their_lengths_and_angles() -> None:
    weight, blocks = draw(OUT, IN, 3, 3), draw(2, 3, 3)
    change = change_of({"oft_blocks": blocks, "alpha": alpha(0.0)})
    assert change.fits((OUT, IN, 3, 3))
    turned = weight + change.change(weight)
    for number in range(2):
        rows, new = (w[3 * number : 3 * number + 3].flatten(1) for w in (weight, turned))
        assert torch.allclose(new.T @ new, rows.T @ rows, atol=1e-4)
        skew = blocks[number] - blocks[number].T
        turn = (torch.eye(3) + skew) @ torch.linalg.inv(torch.eye(3) - skew)
        assert torch.allclose(new, turn.T @ rows, atol=1e-4)


def test_an_oft_whose_blocks_are_bound_turns_less() -> None:
    weight = draw(OUT, IN)
    free, bound = (change_of({"oft_blocks": draw(2, 3, 3), "alpha": alpha(a)}).change(weight) for a in (0.0, 1e-3))
    assert 0 < float(bound.norm()) < 0.05 * float(free.norm())


def test_an_oft_rescales_rows_after_turning_them() -> None:
    weight, factors = draw(OUT, IN), draw(OUT, 1)
    change = change_of({"oft_blocks": torch.zeros(2, 3, 3), "rescale": factors})
    assert torch.allclose(change.change(weight), weight * (factors - 1), atol=1e-6)


def test_a_butterfly_oft_mixes_rows_that_no_single_block_mixes_and_keeps_lengths() -> None:
    weight, blocks = torch.eye(8), draw(2, 4, 2, 2)
    change = change_of({"oft_blocks": blocks, "alpha": alpha(0.0)})
    assert change.fits((8, 8))
    turned = weight + change.change(weight)
    assert torch.allclose(turned.T @ turned, torch.eye(8), atol=1e-5)
    assert int((turned.abs() > 1e-6).sum(dim=1).min()) == 4
    one_stage = change_of({"oft_blocks": blocks[:1], "alpha": alpha(0.0)}).change(weight) + weight
    assert int((one_stage.abs() > 1e-6).sum(dim=1).max()) == 2


def test_a_glora_adds_a_product_and_the_weight_times_another() -> None:
    weight = draw(OUT, IN)
    a1, a2, b1, b2 = draw(IN, RANK), draw(RANK, IN), draw(OUT, RANK), draw(RANK, IN) + 1
    change = change_of({"a1.weight": a1, "a2.weight": a2, "b1.weight": b1, "b2.weight": b2, "alpha": alpha(1.5)})
    assert change.fits((OUT, IN))
    assert torch.allclose(change.change(weight), (weight @ a1 @ a2 + b1 @ b2) / 2, atol=1e-5)


@pytest.mark.parametrize(
    ("key", "shape", "axis"),
    [
        ("dora_scale", (OUT, 1), 0),
        ("dora_scale", (1, IN), 1),
        ("lora_magnitude_vector", (OUT,), 0),
        ("lora_magnitude_vector.weight", (OUT,), 0),
    ],
)
def test_a_dora_gives_every_row_or_column_its_learned_length(key: str, shape: tuple[int, ...], axis: int) -> None:
    weight, lengths = draw(OUT, IN), draw(*shape).abs() + 0.1
    up, down = draw(OUT, RANK), draw(RANK, IN)
    change = change_of({"lora_up.weight": up, "lora_down.weight": down, key: lengths})
    assert change.fits((OUT, IN))
    changed = weight + change.change(weight)
    assert torch.allclose(changed.norm(dim=1 - axis), lengths.flatten(), atol=1e-5)
    plain = weight + up @ down
    cosines = torch.nn.functional.cosine_similarity(changed, plain, dim=1 - axis)
    assert torch.allclose(cosines, torch.ones_like(cosines), atol=1e-5)


@pytest.mark.parametrize(("key", "is_bias"), [("diff", False), ("w_norm", False), ("diff_b", True), ("b_norm", True)])
def test_whole_differences_are_added_as_they_are(key: str, is_bias: bool) -> None:
    difference = draw(OUT)
    modules = read_modules(HeldTensors({f"m.{key}": difference, "m.alpha": alpha(7.0)})).modules
    change = (bias_change if is_bias else weight_change)(modules["m"])
    assert torch.equal(change.change(torch.ones(OUT)), difference)


# ------------------------------------------------------------------ shapes, precision, strength


def test_changes_do_not_fit_weights_of_other_sizes() -> None:
    cases = {
        "lora": {"lora_up.weight": draw(OUT, RANK), "lora_down.weight": draw(RANK, IN)},
        "loha": {f"hada_w{n}_{s}": draw(OUT, RANK) if s == "a" else draw(RANK, IN) for n in (1, 2) for s in "ab"},
        "lokr": {"lokr_w1": draw(2, 2), "lokr_w2": draw(3, 2)},
        "oft": {"oft_blocks": draw(2, 3, 3)},
        "diff": {"diff": draw(OUT, IN)},
    }
    for name, tensors in cases.items():
        change = change_of(tensors)
        assert change.fits((OUT, IN)), name
        assert not change.fits((OUT + 1, IN)), name
        if name != "oft":
            assert not change.fits((OUT, IN + 1)), name


def test_a_patch_computes_in_float32_and_rounds_once() -> None:
    tensors = {"lora_up.weight": draw(OUT, RANK).half(), "lora_down.weight": draw(RANK, IN).half()}
    patch = AdapterPatch("i", {"w": change_of(tensors)}, strength=-0.25)
    weight = draw(OUT, IN).half()
    exact = weight.float() - 0.25 * (tensors["lora_up.weight"].float() @ tensors["lora_down.weight"].float())
    assert torch.equal(patch.apply("w", weight.clone()), exact.half())
    assert patch.names == {"w"}


def test_strength_is_linear_and_its_sign_counts() -> None:
    change = change_of({"oft_blocks": draw(2, 3, 3)})
    weight = draw(OUT, IN)
    step = AdapterPatch("i", {"w": change}, 1.0).apply("w", weight.clone()) - weight
    for strength in (-2.0, 0.5, 3.0):
        found = AdapterPatch("i", {"w": change}, strength).apply("w", weight.clone())
        assert torch.allclose(found, weight + strength * step, atol=1e-5)


# ------------------------------------------------------------------ keys


def test_keys_of_attention_processors_belong_to_the_projections() -> None:
    keys = ["a.attn1.processor.to_q_lora.up.weight", "a.attn1.processor.to_out_lora.down.weight"]
    modules = read_modules(HeldTensors({key: torch.zeros(2, 2) for key in keys})).modules
    assert {name: list(module.keys) for name, module in modules.items()} == {
        "a.attn1.to_q": ["lora_up"],
        "a.attn1.to_out.0": ["lora_down"],
    }


def test_the_metadata_of_diffusers_says_alpha() -> None:
    tensors = {"unet.x.lora_B.weight": draw(OUT, RANK), "unet.x.lora_A.weight": draw(RANK, IN)}
    plain = tensors["unet.x.lora_B.weight"] @ tensors["unet.x.lora_A.weight"]
    for options, scale in (
        ({"unet.r": RANK, "unet.lora_alpha": 6}, 2.0),
        ({"unet.lora_alpha": 6, "unet.use_rslora": True}, 6 / RANK**0.5),
        ({"unet.lora_alpha": 6, "unet.alpha_pattern": {"x": 3}}, 1.0),
        ({"text_encoder.lora_alpha": 6}, 1.0),
    ):
        source = HeldTensors(tensors, {"lora_adapter_metadata": json.dumps(options)})
        change = weight_change(read_modules(source).modules["unet.x"])
        assert torch.allclose(change.change(torch.zeros(OUT, IN)), plain * scale, atol=1e-5)


def test_keys_with_an_unknown_end_are_listed() -> None:
    content = read_modules(HeldTensors({"m.alpha": alpha(1.0), "m.surprise": draw(1), "emb_params": draw(2, 3)}))
    assert content.unknown == ("m.surprise", "emb_params")


def test_equal_tensors_have_equal_identity() -> None:
    first = HeldTensors({"a": draw(2), "b": draw(3)})
    assert first.identity == HeldTensors({"b": draw(3), "a": draw(2)}).identity
    assert first.identity != HeldTensors({"a": draw(2), "b": draw(3) + 1}).identity
