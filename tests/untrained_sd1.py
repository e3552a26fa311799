"""A small checkpoint without training, in the key structure of Stable Diffusion 1.

It lets every part of the engine run before a trained model is there: the pictures it makes are coloured noise.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path

import torch

from engine.families.autoencoder.opening import shapes_of
from engine.nn.autoencoder import Autoencoder, AutoencoderConfig
from engine.nn.text_transformer import TextConfig, TextTransformer
from engine.nn.unet import UNet, UNetConfig
from engine.weights.writer import write_safetensors

__all__ = ["untrained_shapes", "write_untrained_checkpoint"]

_UNET = UNetConfig(
    in_channels=4, out_channels=4, model_channels=32, channel_mult=(1, 2, 3, 3), num_res_blocks=2,
    transformer_depth=(1, 1, 1, 0), middle_depth=1, context_width=32,
)  # fmt: skip
_TEXT = TextConfig(width=32, num_layers=12, num_heads=1, inner_width=128)
_AUTOENCODER = AutoencoderConfig(channels=32, channel_mult=(1, 2, 3, 3), num_res_blocks=2, latent_channels=4)
_ZEROED = (
    "input_blocks.0.0.bias", "output_blocks.11.0.skip_connection.bias", "output_blocks.11.0.out_layers.3.",
    "output_blocks.11.1.proj_out.",
)  # fmt: skip
_RESIDUAL_ENDS = (".out_layers.3.weight", ".proj_out.weight", ".conv2.weight", ".out_proj.weight", ".fc2.weight")


def untrained_shapes() -> dict[str, tuple[int, ...]]:
    """Keys and shapes of the file: those of a published checkpoint, narrower."""
    with torch.device("meta"):
        parts = {
            "model.diffusion_model.": UNet(_UNET),
            "cond_stage_model.transformer.": TextTransformer(_TEXT),
            "first_stage_model.": Autoencoder(_AUTOENCODER),
        }
    return {prefix + name: shape for prefix, part in parts.items() for name, shape in shapes_of(part).items()}


def write_untrained_checkpoint(path: Path, seed: int = 0) -> None:
    """Write the checkpoint: about 19 MB in float16, random weights that depend on the seed and the key alone.

    It is not a model: nothing in it was learned, and no prompt makes its pictures show anything. Every value is finite
    and latents stay in the usual range, so that samplers and autoencoder run as they would with a trained one.
    """
    shapes = untrained_shapes()
    specs = {key: (torch.float16, shape) for key, shape in shapes.items()}
    metadata = {"modelspec.title": "Untrained weights", "modelspec.description": "Random values; nothing was learned."}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_safetensors(path, specs, lambda key: _values(key, shapes, seed), metadata)


def _values(key: str, shapes: Mapping[str, tuple[int, ...]], seed: int) -> torch.Tensor:
    """Near-normal weights of variance 1/fan-in, ones for the weights of norms, small biases."""
    shape = shapes[key]
    if len(shape) == 1 and key.endswith(".weight"):
        return torch.ones(shape, dtype=torch.float16)
    name = hashlib.sha256(f"{seed}/{key}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(name[:8], "little") >> 1)
    if len(shape) == 1 or "embedding" in key:
        spread = 0.02
    else:
        spread = 1.0 / math.sqrt(math.prod(shape[1:]))
    if key.endswith(_RESIDUAL_ENDS):
        spread *= 0.5
    weight = torch.randn(shape, generator=generator) * spread
    _carry_input(key.removeprefix("model.diffusion_model."), weight)
    return weight.half()


def _carry_input(name: str, weight: torch.Tensor) -> None:
    """Let the U-Net's input through to its output, so that it predicts the noise it sees plus a little of its own.

    A network that predicts anything else would leave samplers with latents far outside the usual range. Channels 0–3
    of the first and last maps carry the input, 4–7 its negative: SiLU(x) - SiLU(-x) = x undoes the last activation.
    """
    signs = torch.cat([torch.eye(4), -torch.eye(4)])
    if name == "input_blocks.0.0.weight":
        weight[:8] = 0
        weight[:8, :, 1, 1] = signs
    elif name == "output_blocks.11.0.skip_connection.weight":
        first_skip = weight.shape[1] - _UNET.model_channels
        weight[:8] = 0
        weight[:8, first_skip : first_skip + 8, 0, 0] = torch.eye(8)
    elif name.startswith(_ZEROED):
        weight[:8] = 0
    elif name == "out.2.weight":
        weight *= 0.1
        weight[:, :8] = 0
        weight[:, :8, 1, 1] = signs.T
