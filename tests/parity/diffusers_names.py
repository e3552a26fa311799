"""The published (LDM) names of the weights of diffusers' networks."""

from __future__ import annotations

import re

__all__ = ["unet_name", "vae_name"]


def unet_name(name: str, blocks_per_level: int) -> str:
    """The LDM name of a weight of the U-Net. `UP` stands for the number of an upsampler, which depends on the level."""
    parts = name.split(".")
    rest = ".".join(parts[1:])
    if parts[0] == "time_embedding":
        return f"time_embed.{0 if parts[1] == 'linear_1' else 2}.{parts[-1]}"
    if parts[0] == "add_embedding":
        return f"label_emb.0.{0 if parts[1] == 'linear_1' else 2}.{parts[-1]}"
    if parts[0] == "conv_in":
        return f"input_blocks.0.0.{rest}"
    if parts[0] in ("conv_norm_out", "conv_out"):
        return f"out.{0 if parts[0] == 'conv_norm_out' else 2}.{rest}"
    if parts[0] == "mid_block":
        place = 2 * int(parts[2]) if parts[1] == "resnets" else 1
        return f"middle_block.{place}.{_inner_name('.'.join(parts[3:]))}"
    level, kind, number = int(parts[1]), parts[2], int(parts[3])
    inner = ".".join(parts[4:])
    if parts[0] == "down_blocks":
        block = 1 + level * (blocks_per_level + 1) + (blocks_per_level if kind == "downsamplers" else number)
        if kind == "downsamplers":
            return f"input_blocks.{block}.0.op.{parts[-1]}"
        return f"input_blocks.{block}.{int(kind == 'attentions')}.{_inner_name(inner)}"
    block = level * (blocks_per_level + 1) + (blocks_per_level if kind == "upsamplers" else number)
    if kind == "upsamplers":
        return f"output_blocks.{block}.UP.conv.{parts[-1]}"
    return f"output_blocks.{block}.{int(kind == 'attentions')}.{_inner_name(inner)}"


def _inner_name(name: str) -> str:
    for old, new in (
        ("norm1", "in_layers.0"), ("conv1", "in_layers.2"), ("time_emb_proj", "emb_layers.1"),
        ("norm2", "out_layers.0"), ("conv2", "out_layers.3"), ("conv_shortcut", "skip_connection"),
    ):  # fmt: skip
        if name.startswith(f"{old}."):
            return name.replace(old, new, 1)
    return name


def vae_name(name: str, num_levels: int) -> str:
    """The LDM name of a weight of diffusers' autoencoder."""
    name = name.replace("mid_block.resnets.0", "mid.block_1").replace("mid_block.resnets.1", "mid.block_2")
    name = name.replace("mid_block.attentions.0.group_norm", "mid.attn_1.norm")
    for old, new in (("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")):
        name = name.replace(f"mid_block.attentions.0.{old}", f"mid.attn_1.{new}")
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets", lambda m: f"up.{num_levels - 1 - int(m[1])}.block", name)
    return re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{num_levels - 1 - int(m[1])}.upsample", name)
