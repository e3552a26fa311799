"""U-Nets in the form of diffusers: the same weights by other names and with another numbering of blocks."""

from __future__ import annotations

import re
from collections.abc import Callable

from engine.families.adapters.unet_names import OUTSIDE_NAMES, RESNET_NAMES
from engine.families.unet.sizes import Shapes

__all__ = ["is_diffusers_form", "published_names"]

_OUTSIDE = {theirs: ours for ours, theirs in OUTSIDE_NAMES}
_IN_RESNET = {theirs: ours for ours, theirs in RESNET_NAMES}
_LAYER = re.compile(r"(down_blocks|up_blocks)\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)")
_MIDDLE = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)\.(.*)")


def is_diffusers_form(shapes: Shapes) -> bool:
    """Whether a file is a U-Net in the form of diffusers."""
    return "conv_in.weight" in shapes and "down_blocks.0.resnets.0.conv1.weight" in shapes


def published_names(shapes: Shapes) -> dict[str, str]:
    """Published name of each weight → its key in the file. A key that is not understood keeps its name."""
    num_blocks = 0
    while f"down_blocks.0.resnets.{num_blocks}.conv1.weight" in shapes:
        num_blocks += 1
    rename = _renamer(shapes, num_blocks)
    return {rename(key): key for key in shapes}


def _renamer(shapes: Shapes, num_blocks: int) -> Callable[[str], str]:
    has_middle_attention = "mid_block.attentions.0.norm.weight" in shapes

    def rename(key: str) -> str:
        module, _, end = key.rpartition(".")
        if module in _OUTSIDE:
            return f"{_OUTSIDE[module]}.{end}"
        middle = _MIDDLE.fullmatch(key)
        if middle:
            kind, number, rest = middle.groups()
            place = 1 if kind == "attentions" else int(number) * (2 if has_middle_attention else 1)
            return f"middle_block.{place}.{_inner(kind, rest)}"
        layer = _LAYER.fullmatch(key)
        if not layer:
            return key
        side, level, kind, number, rest = layer.groups()
        first = int(level) * (num_blocks + 1)
        if kind == "downsamplers":
            return f"input_blocks.{first + num_blocks + 1}.0.op.{end}"
        if kind == "upsamplers":
            place = 2 if f"up_blocks.{level}.attentions.{num_blocks}.norm.weight" in shapes else 1
            return f"output_blocks.{first + num_blocks}.{place}.conv.{end}"
        block = (
            f"input_blocks.{first + 1 + int(number)}"
            if side == "down_blocks"
            else f"output_blocks.{first + int(number)}"
        )
        return f"{block}.{int(kind == 'attentions')}.{_inner(kind, rest)}"

    return rename


def _inner(kind: str, name: str) -> str:
    """The name within a block: residual blocks have other names, transformers the same."""
    module, _, end = name.rpartition(".")
    return f"{_IN_RESNET.get(module, module)}.{end}" if kind == "resnets" else name
