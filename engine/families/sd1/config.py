"""Sizes of a Stable Diffusion 1 checkpoint, read from the shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.families.autoencoder.opening import autoencoder_config
from engine.nn.autoencoder import AutoencoderConfig
from engine.nn.text_transformer import TextConfig
from engine.nn.unet import UNetConfig

__all__ = ["Sd1Config", "read_text_config", "read_unet_config"]

NUM_HEADS = 8
"""Attention heads of the U-Net at every width; files do not tell."""

TEXT_HEAD_WIDTH = 64
"""Width of one attention head of the text encoder; files do not tell."""

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Sd1Config:
    """The parts of a file: sizes and key prefix of each; None for a part it lacks. `predicts_v`: marked as such."""

    unet: UNetConfig
    unet_prefix: str
    text: TextConfig | None
    text_prefix: str
    autoencoder: AutoencoderConfig | None
    predicts_v: bool = False


def read_unet_config(shapes: Shapes, prefix: str) -> UNetConfig | None:
    """Sizes of the U-Net below `prefix`; None when there is none or its blocks are not those of this family."""
    first = shapes.get(f"{prefix}input_blocks.0.0.weight")
    last = shapes.get(f"{prefix}out.2.weight")
    context = shapes.get(f"{prefix}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight")
    if first is None or last is None or context is None or len(first) != 4 or len(last) != 4 or len(context) != 2:
        return None
    width = first[0]
    mults: list[int] = []
    depths: list[int] = []
    counts = [0]
    number = 1
    while True:
        block = f"{prefix}input_blocks.{number}"
        resized = shapes.get(f"{block}.0.out_layers.3.weight")
        if resized is not None:
            if counts[-1] == 0:
                mults.append(resized[0] // width)
                depths.append(_depth(shapes, f"{block}.1"))
            counts[-1] += 1
        elif f"{block}.0.op.weight" in shapes:
            counts.append(0)
        else:
            break
        number += 1
    if len(set(counts)) != 1 or len(mults) != len(counts):
        return None
    return UNetConfig(
        in_channels=first[1],
        out_channels=last[0],
        model_channels=width,
        channel_mult=tuple(mults),
        num_res_blocks=counts[0],
        transformer_depth=tuple(depths),
        middle_depth=_depth(shapes, f"{prefix}middle_block.1"),
        context_width=context[1],
        num_heads=NUM_HEADS,
    )


def read_text_config(shapes: Shapes, prefix: str) -> TextConfig | None:
    """Sizes of the CLIP text transformer below `prefix` (where `embeddings` and `encoder` are); None without one."""
    table = shapes.get(f"{prefix}embeddings.token_embedding.weight")
    places = shapes.get(f"{prefix}embeddings.position_embedding.weight")
    inner = shapes.get(f"{prefix}encoder.layers.0.mlp.fc1.weight")
    if table is None or places is None or inner is None or len(table) != 2:
        return None
    layers = 0
    while f"{prefix}encoder.layers.{layers}.mlp.fc1.weight" in shapes:
        layers += 1
    return TextConfig(
        width=table[1],
        num_layers=layers,
        num_heads=max(1, table[1] // TEXT_HEAD_WIDTH),
        inner_width=inner[0],
        vocabulary=table[0],
        max_tokens=places[0],
    )


def read_config(shapes: Shapes, unet_prefix: str, text_prefix: str) -> Sd1Config | None:
    """Sizes of all parts; None when there is no U-Net of this family."""
    unet = read_unet_config(shapes, unet_prefix)
    if unet is None:
        return None
    text = read_text_config(shapes, text_prefix)
    autoencoder = autoencoder_config(shapes, "first_stage_model.")
    return Sd1Config(unet, unet_prefix, text, text_prefix, autoencoder, "v_pred" in shapes)


def _depth(shapes: Shapes, prefix: str) -> int:
    """Transformer blocks of the spatial transformer below `prefix`, 0 when there is none."""
    depth = 0
    while f"{prefix}.transformer_blocks.{depth}.norm1.weight" in shapes:
        depth += 1
    return depth
