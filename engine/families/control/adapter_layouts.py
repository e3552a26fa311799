"""The forms of T2I-Adapters in files: names by level, as diffusers has them, and sizes."""

from __future__ import annotations

import re

from engine.families.unet.sizes import Shapes
from engine.nn.feature_adapter import FeatureAdapterConfig

__all__ = ["adapter_names", "read_adapter_config"]

_PREFIX = "adapter."
_FOLDS = {64: (1, 8), 192: (3, 8), 256: (1, 16), 768: (3, 16)}
"""Channels of the folded picture → its own channels, and the edge of a fold."""
_XL_FOLD = 16
_XL_HALVED = (2,)
_BLOCKS_PER_LEVEL = 2
_LIGHT_BLOCK = re.compile(r"body\.(\d+)\.body\.(\d+)\.(.*)")
_BLOCK = re.compile(r"body\.(\d+)\.(in_conv|block\d)\.(.*)")


def adapter_names(shapes: Shapes) -> dict[str, str]:
    """Name by level → key in the file. A key that is not understood keeps its name."""
    is_light = "body.0.body.0.block1.weight" in shapes
    is_by_level = any(".resnets." in key for key in shapes)
    return {_by_level(key.removeprefix(_PREFIX), is_light or is_by_level): key for key in shapes}


def read_adapter_config(shapes: Shapes) -> FeatureAdapterConfig | None:
    """Sizes of an adapter from shapes by level; None when it is none."""
    first = shapes.get("conv_in.weight", ())
    is_light = not first
    folded = shapes.get("body.0.in_conv.weight" if is_light else "conv_in.weight", ())
    block = shapes.get("body.0.resnets.0.block2.weight", ())
    if len(folded) != 4 or len(block) != 4 or folded[1] not in _FOLDS:
        return None
    hint_channels, fold = _FOLDS[folded[1]]
    channels: list[int] = []
    width = "out_conv" if is_light else "resnets.0.block1"
    while (shape := shapes.get(f"body.{len(channels)}.{width}.weight", ())) and len(shape) == 4:
        channels.append(shape[0])
    num_blocks = 0
    while f"body.0.resnets.{num_blocks}.block1.weight" in shapes:
        num_blocks += 1
    halved = _XL_HALVED if fold == _XL_FOLD else tuple(range(1, len(channels)))
    return FeatureAdapterConfig(hint_channels, fold, tuple(channels), num_blocks, block[2], is_light, halved)


def _by_level(name: str, is_by_level: bool) -> str:
    """Original full adapters number the residual blocks of all levels through; light ones call them `body`."""
    light = _LIGHT_BLOCK.fullmatch(name)
    if light:
        return f"body.{light[1]}.resnets.{light[2]}.{light[3]}"
    block = _BLOCK.fullmatch(name)
    if block is None or is_by_level:
        return name
    level, within = divmod(int(block[1]), _BLOCKS_PER_LEVEL)
    inner = block[2] if block[2] == "in_conv" else f"resnets.{within}.{block[2]}"
    return f"body.{level}.{inner}.{block[3]}"
