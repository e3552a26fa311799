"""Networks and text encoders in files of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.core.errors import CheckpointError
from engine.diffusion.conditioning import ConditioningEntry
from engine.families.text.clip_pair import ClipPair
from engine.nn.text_transformer import TextConfig, TextTransformer
from engine.nn.unet import UNet, UNetConfig
from tests.tiny_families import layout_file, open_clip_weights, random_weights
from tests.tiny_sd1 import host_with, store_on, tiny_checkpoint

torch.set_num_threads(1)

L = TextConfig(32, 2, 1, 32, vocabulary=600)
G = TextConfig(1280, 1, 20, 8, vocabulary=600, activation="gelu", projection_width=16)
PRUNED = UNetConfig(
    4, 4, 32, (1, 2, 4), 2, (0, 2, 2), 0, 2048, head_channels=64, uses_linear=True, vector_width=2816,
    block_depths=((0, 0), (2, 2), (1, 2)), output_depths=((0, 0, 0), (1, 1, 2), (3, 2, 2)), middle_parts=1,
)  # fmt: skip


def saved(path: Path, weights: dict[str, torch.Tensor]) -> Path:
    save_file({name: weight.contiguous() for name, weight in weights.items()}, path)
    return path


@pytest.mark.parametrize(
    ("name", "family", "width"),
    [
        ("unet-sd15-diffusers", "sd1", 768),
        ("unet-sd21-diffusers", "sd2", 1024),
        ("unet-sdxl-diffusers", "sdxl", 2048),
        ("sdxl-refiner-1.0", "sdxl_refiner", 1280),
    ],
)
def test_published_networks_open_from_files_of_their_own(name: str, family: str, width: int, tmp_path: Path) -> None:
    model = store_on(host_with()).open_diffusion_model(layout_file(name, tmp_path))
    assert (model.family, model.context_width) == (family, width)


@pytest.mark.parametrize(
    ("names", "family"),
    [
        (("clip-l",), "sd1"),
        (("clip-l-sd15-diffusers",), "sd1"),
        (("clip-g",), "sdxl_refiner"),
        (("clip-l", "clip-g"), "sdxl"),
        (("clip-g", "clip-l"), "sdxl"),
    ],
)
def test_published_text_encoders_open_from_files_of_their_own(names, family: str, tmp_path: Path) -> None:
    clip = store_on(host_with()).open_text_encoders([layout_file(name, tmp_path) for name in names])
    assert clip.family == family
    assert isinstance(clip, ClipPair) == (len(names) == 2)
    if isinstance(clip, ClipPair):
        assert (clip.first.config.width, clip.second.config.width) == (768, 1280)
        assert clip.second.config.projection_width == 1280


def test_files_that_are_no_text_encoders_are_named(tmp_path: Path) -> None:
    store = store_on(host_with())
    with pytest.raises(CheckpointError, match=r"unet-sd21-diffusers\.safetensors looks like a U-Net"):
        store.open_text_encoders([layout_file("unet-sd21-diffusers", tmp_path)])
    both = [layout_file("clip-l", tmp_path), layout_file("clip-l-sd15-diffusers", tmp_path)]
    with pytest.raises(CheckpointError, match="CLIP text encoder and"):
        store.open_text_encoders(both)


def test_a_pruned_network_has_the_depths_its_shapes_tell(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = random_weights(UNet(PRUNED))
    model = store_on(host_with()).open_diffusion_model(saved(tmp_path / "pruned.safetensors", weights))
    assert model.family == "sdxl"
    config = model.form.config
    assert (config.depths_down, config.depths_up, config.middle_parts) == (
        PRUNED.depths_down,
        PRUNED.depths_up,
        1,
    )
    for name in ("up_blocks_0_attentions_0_transformer_blocks_2_attn1_to_q", "mid_block_resnets_0_conv1"):
        assert f"lora_unet_{name}" in model.adapter_modules


def test_a_network_without_a_middle_is_opened(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = random_weights(UNet(replace(PRUNED, middle_parts=0)))
    model = store_on(host_with()).open_diffusion_model(saved(tmp_path / "koala.safetensors", weights))
    assert model.form.config.middle_parts == 0


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_weights_can_be_held_in_eight_bits_for_one_model(dtype: str, tmp_path: Path) -> None:
    store = store_on(host_with())
    path = tiny_checkpoint(tmp_path)
    plain, held = store.open_diffusion_model(path), store.open_diffusion_model(path, dtype)
    assert plain.identity != held.identity
    rounded = {
        key: weight.float().to(getattr(torch, dtype)).half()
        if weight.ndim > 1 and key.startswith("model.diffusion_model.")
        else weight
        for key, weight in load_file(path).items()
    }
    wanted = store.open_diffusion_model(saved(tmp_path / "rounded.safetensors", rounded))
    clip = store.open_checkpoint(path)[1]
    x, sigma = torch.randn(1, 4, 8, 8), torch.tensor([3.0])
    inputs = plain.condition(ConditioningEntry(context=clip.encode("a fox").context), x, None)
    found = held.denoise(x, sigma, inputs)
    assert torch.allclose(found, wanted.denoise(x, sigma, inputs), atol=1e-4)
    assert not torch.allclose(found, plain.denoise(x, sigma, inputs), atol=1e-4)


def test_text_encoders_of_both_forms_give_the_same_numbers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    first, second = random_weights(TextTransformer(L)), random_weights(TextTransformer(G))
    one = saved(tmp_path / "l.safetensors", first)
    two = saved(tmp_path / "g.safetensors", second)
    other = saved(tmp_path / "open.safetensors", open_clip_weights(second))
    store = store_on(host_with())
    found = store.open_text_encoders([two, one]).encode("a (red:1.2) fox")
    wanted = store.open_text_encoders([one, other], on_cpu=True).encode("a (red:1.2) fox")
    assert torch.equal(found.context, wanted.context)
    assert torch.allclose(found.pooled, wanted.pooled, atol=1e-5)
    assert found.context.shape == (1, 77, 1312)
    assert found.pooled.shape == (1, 16)
