"""Merged models: numbers equal to the formula's, in any order with adapters, without copies of weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.core.errors import CheckpointError
from engine.diffusion.condition_inputs import ConditionInputs
from nodes import merge as merging
from tests.families.test_unet_families import SMALL
from tests.tiny_families import small_file
from tests.tiny_sd1 import host_with, shallow_checkpoint, store_on

torch.set_num_threads(1)

UNET = "model.diffusion_model."
TEXT = "cond_stage_model.transformer."


@dataclass
class Listener:
    warnings: list[str] = field(default_factory=list)

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def second_file(folder: Path) -> Path:
    """The shallow checkpoint with other numbers."""
    generator = torch.Generator().manual_seed(7)
    tensors = {
        k: w + 0.1 * torch.randn(w.shape, generator=generator)
        for k, w in load_file(folder / "shallow.safetensors").items()
    }
    save_file(tensors, folder / "second.safetensors")
    return folder / "second.safetensors"


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    folder = tmp_path_factory.mktemp("merging")
    first = shallow_checkpoint(folder)
    second = second_file(folder)
    store = store_on(host_with())
    return store, store.open_checkpoint(first), store.open_checkpoint(second), load_file(first), load_file(second)


def close(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return torch.allclose(found, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("merge", "options", "own", "other"),
    [
        (merging.merge_models, {"ratio": 0.3}, 0.3, 0.7),
        (merging.add_models, {}, 1.0, 1.0),
        (merging.subtract_models, {"multiplier": 2.5}, 2.5, -2.5),
    ],
)
def test_every_weight_of_a_merged_model_is_the_sum_the_node_names(opened, merge, options, own, other) -> None:
    _, (one, _, _), (two, _, _), first, second = opened
    merged = merge(one, two, Listener(), **options)
    assert set(merged.patches.names) == set(one.weights.specs)
    for name in merged.weights.specs:
        wanted = own * first[UNET + name] + other * second[UNET + name]
        assert close(merged.weights.read(name), wanted), name


@pytest.mark.parametrize(
    ("merge", "options", "own", "other"),
    [
        (merging.merge_clips, {"ratio": 0.25}, 0.25, 0.75),
        (merging.add_clips, {}, 1.0, 1.0),
        (merging.subtract_clips, {"multiplier": -1.0}, -1.0, 1.0),
    ],
)
def test_every_weight_of_a_merged_text_encoder_is_the_sum_the_node_names(opened, merge, options, own, other) -> None:
    _, (_, one, _), (_, two, _), first, second = opened
    merged = merge(one, two, Listener(), **options)
    for name in merged.weights.specs:
        assert close(merged.weights.read(name), own * first[TEXT + name] + other * second[TEXT + name]), name


def test_blocks_have_ratios_of_their_own_and_the_rest_goes_with_the_first(opened) -> None:
    _, (one, _, _), (two, _, _), first, second = opened
    by_thirds = merging.merge_blocks(one, two, Listener(), input=0.2, middle=0.5, out=1.0)
    ratios = dict.fromkeys(("time_embed.", "input_blocks.1.", "input_blocks.10.", "out."), 1.0)
    by_blocks = merging.merge_sd1_blocks(one, two, Listener(), **{**ratios, "input_blocks.1.": 0.25, "out.": 0.5})
    wanted = {
        "time_embed.0.weight": (0.2, 1.0),
        "input_blocks.1.0.in_layers.2.weight": (0.2, 0.25),
        "middle_block.1.proj_in.weight": (0.5, 1.0),
        "output_blocks.0.0.in_layers.2.weight": (1.0, 1.0),
        "out.2.weight": (1.0, 0.5),
    }
    for name, shares in wanted.items():
        for merged, share in zip((by_thirds, by_blocks), shares):
            sum_of_both = share * first[UNET + name] + (1 - share) * second[UNET + name]
            assert close(merged.weights.read(name), sum_of_both), name


def test_a_merged_network_computes_what_a_file_of_the_sums_does(opened, tmp_path: Path) -> None:
    store, (one, _, _), (two, _, _), first, second = opened
    save_file({k: 0.4 * w + 0.6 * second[k] for k, w in first.items()}, tmp_path / "sums.safetensors")
    wanted = store.open_checkpoint(tmp_path / "sums.safetensors")[0]
    merged = merging.merge_models(one, two, Listener(), ratio=0.4)
    x, sigma = torch.randn(1, 4, 8, 8), torch.tensor([2.0])
    inputs = ConditionInputs(context=torch.randn(1, 5, one.context_width))
    found = merged.denoise(x, sigma, inputs)
    assert torch.allclose(found, wanted.denoise(x, sigma, inputs), atol=1e-4)
    assert not torch.allclose(found, one.denoise(x, sigma, inputs), atol=1e-3)
    assert len({handle.identity for handle in (merged, one, two)}) == 3
    assert merged.identity == merging.merge_models(one, two, Listener(), ratio=0.4).identity


def test_adapters_before_a_merge_take_part_in_it_and_later_ones_do_not(opened) -> None:
    store, (one, _, _), (two, _, _), first, second = opened
    name = "input_blocks.1.1.transformer_blocks.0.attn1.to_q"
    width = first[f"{UNET}{name}.weight"].shape[0]
    up, down = torch.randn(width, 2), torch.randn(2, width)
    key = (
        "lora_unet_" + next(k for k, v in one.adapter_modules.items() if v == name and k.startswith("lora_unet_"))[10:]
    )
    lora = store.hold_adapter({f"{key}.lora_up.weight": up, f"{key}.lora_down.weight": down})
    own, other, change = first[f"{UNET}{name}.weight"], second[f"{UNET}{name}.weight"], up @ down

    def adapted(model):
        return lora.apply(model, None)[0]

    def merged(a, b):
        return merging.merge_models(a, b, Listener(), ratio=0.5)

    cases = {
        "first": (merged(adapted(one), two), 0.5 * (own + change) + 0.5 * other),
        "second": (merged(one, adapted(two)), 0.5 * own + 0.5 * (other + change)),
        "afterwards": (adapted(merged(one, two)), 0.5 * own + 0.5 * other + change),
        "again": (merged(adapted(merged(one, two)), two), 0.5 * (0.5 * own + 0.5 * other + change) + 0.5 * other),
    }
    for place, (model, wanted) in cases.items():
        assert torch.allclose(model.weights.read(f"{name}.weight"), wanted, atol=1e-5), place
    assert torch.equal(one.weights.read(f"{name}.weight"), own)


def test_narrow_weights_are_rounded_once_however_many_patches_they_have(opened) -> None:
    _, (one, _, _), (two, _, _), first, second = opened
    name = "middle_block.1.proj_in.weight"
    merged = merging.subtract_models(merging.add_models(one, two, Listener()), two, Listener(), multiplier=0.3)
    found = merged.patches.apply(name, first[UNET + name].half())
    wanted = 0.3 * (first[UNET + name].half().float() + second[UNET + name]) - 0.3 * second[UNET + name]
    assert found.dtype == torch.float16
    assert torch.allclose(found.float(), wanted, rtol=2**-11, atol=1e-7)


def test_models_of_another_structure_are_refused_and_a_wider_input_is_kept(opened, tmp_path: Path) -> None:
    store, (one, clip, _), _, first, _ = opened
    pair = store.open_checkpoint(small_file("sdxl", tmp_path, SMALL["sdxl"]))[1]
    with pytest.raises(CheckpointError, match="cannot be merged"):
        merging.merge_clips(clip, pair, Listener())
    wide = dict(first)
    name = "input_blocks.0.0.weight"
    wide[UNET + name] = torch.randn(32, 9, 3, 3)
    save_file(wide, tmp_path / "inpainting.safetensors")
    inpainting, listener = store.open_checkpoint(tmp_path / "inpainting.safetensors")[0], Listener()
    merged = merging.merge_models(inpainting, one, listener, ratio=0.5)
    assert torch.equal(merged.weights.read(name), wide[UNET + name])
    assert listener.warnings == [f"1 weight(s) have another size in the second model and stay as they are: {name}."]


def test_a_ratio_of_one_gives_the_first_model_itself(opened) -> None:
    _, (one, _, _), (two, _, _), _, _ = opened
    assert merging.merge_models(one, two, Listener()) is one
