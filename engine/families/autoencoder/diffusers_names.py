"""Weights of the KL autoencoder by diffusers' names, for writing: the way back from the published ones."""

from __future__ import annotations

import re

from engine.weights.weight_file import FileTensor

__all__ = ["diffusers_tensors"]

_RENAMES = tuple(
    (re.compile(pattern), target)
    for pattern, target in (
        (r"(encoder|decoder)\.mid\.block_1\.(.*)", r"\1.mid_block.resnets.0.\2"),
        (r"(encoder|decoder)\.mid\.block_2\.(.*)", r"\1.mid_block.resnets.1.\2"),
        (r"(encoder|decoder)\.mid\.attn_1\.norm\.(.*)", r"\1.mid_block.attentions.0.group_norm.\2"),
        (r"(encoder|decoder)\.mid\.attn_1\.([qkv])\.(.*)", r"\1.mid_block.attentions.0.to_\2.\3"),
        (r"(encoder|decoder)\.mid\.attn_1\.proj_out\.(.*)", r"\1.mid_block.attentions.0.to_out.0.\2"),
        (r"(encoder|decoder)\.norm_out\.(.*)", r"\1.conv_norm_out.\2"),
    )
)
_LEVEL = re.compile(r"(encoder\.down|decoder\.up)\.(\d+)\.(block\.(\d+)|downsample|upsample)\.(.*)")


def diffusers_tensors(tensors: dict[str, FileTensor], num_levels: int) -> dict[str, FileTensor]:
    """The same weights; 1x1 convolutions of the attention become matrices, the decoder's levels count from its end."""
    found = {}
    for name, tensor in tensors.items():
        renamed = _renamed(name, num_levels)
        is_matrix = ".attentions.0.to_" in renamed and renamed.endswith(".weight")
        found[renamed] = _flat(tensor) if is_matrix else tensor
    return found


def _renamed(name: str, num_levels: int) -> str:
    for pattern, target in _RENAMES:
        match = pattern.fullmatch(name)
        if match is not None:
            return match.expand(target)
    match = _LEVEL.fullmatch(name)
    if match is None:
        return name
    side, level, part, number, rest = match.groups()
    place = int(level) if side == "encoder.down" else num_levels - 1 - int(level)
    inner = f"resnets.{number}" if number is not None else f"{part}rs.0"
    return f"{side}_blocks.{place}.{inner}.{rest.replace('nin_shortcut', 'conv_shortcut')}"


def _flat(tensor: FileTensor) -> FileTensor:
    return FileTensor(tensor.dtype, tensor.shape[:2], lambda: tensor.read().flatten(1))
