"""U-Net and autoencoders against diffusers on the same random weights."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from engine.nn.autoencoder import Autoencoder, AutoencoderConfig
from engine.nn.tiny_autoencoder import TinyDecoder, TinyEncoder
from engine.nn.unet import UNet, UNetConfig
from tests.parity.diffusers_names import unet_name, vae_name

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel

TOLERANCE = 2e-5


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            is_norm = weight.ndim == 1 and name.endswith("weight")
            scale = 0.1 if weight.ndim < 2 else weight[0].numel() ** -0.5
            weight.copy_(torch.randn(weight.shape, generator=generator) * scale + float(is_norm))
    return network.eval().requires_grad_(False)


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def ours_from(theirs: UNet2DConditionModel, config: UNetConfig) -> UNet:
    network = UNet(config)
    names = set(network.state_dict())
    weights = {}
    for name, weight in theirs.state_dict().items():
        target = unet_name(name, config.num_res_blocks)
        if ".UP." in target:
            target = next(target.replace("UP", str(n)) for n in (1, 2) if target.replace("UP", str(n)) in names)
        weights[target] = weight
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False)


def their_unet(config: UNetConfig, size: int, **more: object) -> UNet2DConditionModel:
    levels = [config.model_channels * mult for mult in config.channel_mult]
    has_attention = [depth > 0 for depth in config.transformer_depth]
    heads = config.num_heads if config.head_channels is None else [c // config.head_channels for c in levels]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = UNet2DConditionModel(
            sample_size=size,
            in_channels=config.in_channels,
            out_channels=config.out_channels,
            block_out_channels=levels,
            layers_per_block=config.num_res_blocks,
            down_block_types=["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in has_attention],
            up_block_types=["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(has_attention)],
            transformer_layers_per_block=[max(1, depth) for depth in config.transformer_depth],
            cross_attention_dim=config.context_width,
            norm_num_groups=config.num_groups,
            attention_head_dim=heads,  # diffusers means the number of heads
            use_linear_projection=config.uses_linear,
            **more,
        )
    return randomised(network)


SD1 = UNetConfig(4, 4, 32, (1, 2, 3, 3), 2, (1, 1, 1, 0), 1, 24)
INPAINTING = UNetConfig(9, 4, 32, (1, 2, 2), 1, (1, 1, 0), 1, 24)
SD2 = UNetConfig(4, 4, 32, (1, 2, 2), 2, (1, 1, 0), 1, 24, head_channels=8, uses_linear=True)
SDXL = UNetConfig(4, 4, 32, (1, 2, 4), 2, (0, 2, 3), 3, 24, head_channels=16, uses_linear=True, vector_width=26)


@pytest.mark.parametrize("config", [SD1, INPAINTING, SD2], ids=["sd1", "inpainting", "sd2"])
@pytest.mark.parametrize("size", [(16, 16), (16, 24)])
def test_the_unet_computes_what_diffusers_computes(config: UNetConfig, size: tuple[int, int]) -> None:
    torch.manual_seed(1)
    theirs = their_unet(config, 16)
    x, steps, context = torch.randn(2, config.in_channels, *size), torch.tensor([999.0, 37.0]), torch.randn(2, 9, 24)
    found = ours_from(theirs, config)(x, steps, context)
    assert relative_error(found, theirs(x, steps, context).sample) < TOLERANCE


def test_the_unet_with_a_vector_computes_what_diffusers_computes() -> None:
    torch.manual_seed(2)
    theirs = their_unet(
        SDXL, 16, addition_embed_type="text_time", addition_time_embed_dim=2, projection_class_embeddings_input_dim=26
    )
    x, steps, context = torch.randn(2, 4, 16, 16), torch.tensor([999.0, 37.0]), torch.randn(2, 9, 24)
    text, times = torch.randn(2, 14), torch.tensor([[512.0, 512, 0, 0, 512, 512], [640.0, 480, 8, 0, 640, 480]])
    wanted = theirs(x, steps, context, added_cond_kwargs={"text_embeds": text, "time_ids": times}).sample
    vector = torch.cat([text, theirs.add_time_proj(times.flatten()).view(2, -1)], dim=1)
    assert relative_error(ours_from(theirs, SDXL)(x, steps, context, vector), wanted) < TOLERANCE


@pytest.mark.parametrize("latent_channels", [4, 16])
def test_the_autoencoder_computes_what_diffusers_computes(latent_channels: int) -> None:
    torch.manual_seed(3)
    config = AutoencoderConfig(32, (1, 2, 2), 2, latent_channels, has_quant_convs=latent_channels == 4)
    theirs = AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 3,
        up_block_types=["UpDecoderBlock2D"] * 3,
        block_out_channels=[32, 64, 64],
        layers_per_block=2,
        latent_channels=latent_channels,
        norm_num_groups=config.num_groups,
        use_quant_conv=config.has_quant_convs,
        use_post_quant_conv=config.has_quant_convs,
    )
    randomised(theirs)
    ours = Autoencoder(config).eval().requires_grad_(False)
    shapes = {name: weight.shape for name, weight in ours.state_dict().items()}
    weights = {vae_name(name, 3): weight for name, weight in theirs.state_dict().items()}
    ours.load_state_dict({name: weight.view(shapes[name]) for name, weight in weights.items()})
    pixels, latent = torch.rand(2, 3, 32, 48) * 2 - 1, torch.randn(2, latent_channels, 8, 6)
    assert relative_error(ours.encode(pixels), theirs.encode(pixels).latent_dist.parameters) < TOLERANCE
    assert relative_error(ours.decode(latent), theirs.decode(latent).sample) < TOLERANCE


def test_the_tiny_autoencoder_computes_what_diffusers_computes() -> None:
    torch.manual_seed(4)
    theirs = randomised(AutoencoderTiny())
    encoder, decoder = TinyEncoder(4).eval().requires_grad_(False), TinyDecoder(4).eval().requires_grad_(False)
    weights = theirs.state_dict()
    prefix = "encoder.layers."
    encoder.load_state_dict({n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)})
    shifted: dict[str, torch.Tensor] = {}
    for name, weight in weights.items():
        if name.startswith("decoder.layers."):
            number, rest = name.removeprefix("decoder.layers.").split(".", 1)
            shifted[f"{int(number) + 1}.{rest}"] = weight
    decoder.load_state_dict(shifted)
    pixels, latent = torch.rand(1, 3, 32, 48), torch.randn(1, 4, 6, 4)
    # diffusers' halves take and give pixels in [-1, 1].
    assert relative_error(encoder(pixels), theirs.encoder(pixels * 2 - 1)) < TOLERANCE
    assert relative_error(decoder(latent) * 2 - 1, theirs.decoder(latent)) < TOLERANCE
