"""The shared networks: names, shapes, and what building them costs."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch

from engine.nn.autoencoder import Autoencoder, AutoencoderConfig
from engine.nn.embeddings import sinusoidal_embedding
from engine.nn.text_transformer import TextConfig, TextTransformer
from engine.nn.tiny_autoencoder import TinyDecoder, TinyEncoder
from engine.nn.unet import UNet, UNetConfig

LAYOUTS = Path(__file__).parents[2] / "data" / "layouts"

SD15_UNET = UNetConfig(4, 4, 320, (1, 2, 4, 4), 2, (1, 1, 1, 0), 1, 768)
SD21_UNET = UNetConfig(4, 4, 320, (1, 2, 4, 4), 2, (1, 1, 1, 0), 1, 1024, head_channels=64, uses_linear=True)
SDXL_UNET = UNetConfig(
    4, 4, 320, (1, 2, 4), 2, (0, 2, 10), 10, 2048, head_channels=64, uses_linear=True, vector_width=2816
)
REFINER_UNET = UNetConfig(
    4, 4, 384, (1, 2, 4, 4), 2, (0, 4, 4, 0), 4, 1280, head_channels=64, uses_linear=True, vector_width=2560
)
KL_F8 = AutoencoderConfig(128, (1, 2, 4, 4), 2, 4)
SD3_VAE = AutoencoderConfig(128, (1, 2, 4, 4), 2, 16, has_quant_convs=False)
CLIP_L = TextConfig(768, 12, 12, 3072)


def published(layout: str, prefix: str) -> dict[str, tuple[int, ...]]:
    path = LAYOUTS / f"{layout}.json.gz"
    text = gzip.decompress(path.read_bytes()) if path.exists() else (LAYOUTS / f"{layout}.json").read_bytes()
    tensors = json.loads(text)["tensors"]
    return {
        key.removeprefix(prefix): tuple(shape)
        for key, (_, shape) in tensors.items()
        if key.startswith(prefix) and not key.endswith("position_ids") and not key.startswith("model_ema.")
    }


@pytest.mark.parametrize(
    ("layout", "prefix", "build"),
    [
        ("sd15", "model.diffusion_model.", lambda: UNet(SD15_UNET)),
        ("sd21-768-v", "model.diffusion_model.", lambda: UNet(SD21_UNET)),
        ("sdxl-base-1.0", "model.diffusion_model.", lambda: UNet(SDXL_UNET)),
        ("sdxl-refiner-1.0", "model.diffusion_model.", lambda: UNet(REFINER_UNET)),
        ("sd15", "first_stage_model.", lambda: Autoencoder(KL_F8)),
        ("vae-ft-mse", "", lambda: Autoencoder(KL_F8)),
        ("sd3-vae", "", lambda: Autoencoder(SD3_VAE)),
        ("sd15", "cond_stage_model.transformer.", lambda: TextTransformer(CLIP_L)),
        ("taesd-encoder", "", lambda: TinyEncoder(4)),
        ("taesd-decoder", "", lambda: TinyDecoder(4)),
        ("taesd3-decoder", "", lambda: TinyDecoder(16)),
    ],
)
def test_a_network_has_the_names_and_shapes_of_the_published_file(layout, prefix, build) -> None:
    with torch.device("meta"):
        network = build()
    found = {name: tuple(weight.shape) for name, weight in network.state_dict().items()}
    wanted = published(layout, prefix)
    assert sorted(found) == sorted(wanted)
    assert found == wanted


def test_a_full_size_network_is_built_without_memory_or_randomness() -> None:
    before = torch.get_rng_state()
    with torch.device("meta"):
        network = UNet(SD15_UNET)
    assert {weight.device.type for weight in network.state_dict().values()} == {"meta"}
    assert torch.equal(torch.get_rng_state(), before)


def test_time_is_embedded_as_cosines_then_sines() -> None:
    found = sinusoidal_embedding(torch.tensor([0.0, 3.0]), 6)
    assert found[0].tolist() == [1, 1, 1, 0, 0, 0]
    frequencies = torch.tensor([1.0, 10_000 ** (-1 / 3), 10_000 ** (-2 / 3)])
    assert torch.allclose(found[1], torch.cat([(3 * frequencies).cos(), (3 * frequencies).sin()]))
    assert sinusoidal_embedding(torch.tensor([1.0]), 5).shape == (1, 5)


def small_unet(**changes: object) -> UNet:
    sizes = {
        "in_channels": 4, "out_channels": 4, "model_channels": 32, "channel_mult": (1, 2), "num_res_blocks": 1,
        "transformer_depth": (1, 0), "middle_depth": 1, "context_width": 16,
    }  # fmt: skip
    network = UNet(UNetConfig(**{**sizes, **changes}))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (5, 12)])
def test_latents_of_odd_size_keep_their_size(size: tuple[int, int]) -> None:
    x = torch.randn(2, 4, *size)
    assert small_unet()(x, torch.tensor([1.0, 500.0]), torch.randn(2, 7, 16)).shape == x.shape


def test_items_of_a_batch_do_not_see_each_other() -> None:
    network = small_unet(uses_linear=True, vector_width=6)
    x, steps, context, vector = (
        torch.randn(3, 4, 8, 8),
        torch.tensor([1.0, 2, 3]),
        torch.randn(3, 5, 16),
        torch.randn(3, 6),
    )
    together = network(x, steps, context, vector)
    for item in range(3):
        pick = slice(item, item + 1)
        alone = network(x[pick], steps[pick], context[pick], vector[pick])
        assert torch.allclose(together[pick], alone, atol=1e-5)


def test_text_after_a_token_does_not_change_it() -> None:
    network = TextTransformer(TextConfig(16, 2, 2, 32, vocabulary=10, max_tokens=6))
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(0, 0.3)
        first = network(torch.tensor([[1, 2, 3, 4, 5, 6]]), torch.tensor([5])).hidden
        second = network(torch.tensor([[1, 2, 3, 9, 9, 9]]), torch.tensor([5])).hidden
    assert torch.allclose(first[:, :3], second[:, :3], atol=1e-6)
    assert not torch.allclose(first[:, 3:], second[:, 3:], atol=1e-3)


def test_a_network_without_context_attends_to_the_picture_alone() -> None:
    network = small_unet(context_width=0, vector_width=6)
    x, vector = torch.randn(2, 4, 8, 8), torch.randn(2, 6)
    found = network(x, torch.tensor([1.0, 5.0]), None, vector)
    assert found.shape == x.shape
    assert not torch.allclose(found, network(x, torch.tensor([1.0, 5.0]), None, vector + 1))


def test_recomputed_activations_give_the_same_gradients_under_the_same_names() -> None:
    plain, recomputing = small_unet(), small_unet()
    recomputing.recompute_activations()
    assert recomputing.state_dict().keys() == plain.state_dict().keys()
    x, steps, context = torch.randn(2, 4, 8, 8), torch.tensor([1.0, 5.0]), torch.randn(2, 3, 16)
    for network in (plain, recomputing):
        network.requires_grad_(True)
        network(x, steps, context).square().mean().backward()
    for name, weight in plain.named_parameters():
        assert torch.equal(weight.grad, recomputing.get_parameter(name).grad), name
