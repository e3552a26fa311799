"""`node_helpers`: small functions on conditioning and images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from PIL import Image, ImageFile, UnidentifiedImageError

from engine.compat.comfyui.worker.host import Host
from engine.compat.comfyui.worker.standins.module import StandIn

__all__ = ["build", "conditioning_set_values"]


def build(host: Host) -> StandIn:
    """The stand-in module."""
    return StandIn(
        "node_helpers",
        conditioning_set_values=conditioning_set_values,
        pillow=pillow,
        image_alpha_fix=image_alpha_fix,
        string_to_torch_dtype=string_to_torch_dtype,
        hasher=lambda: getattr(hashlib, host.settings.default_hashing),
    )


def conditioning_set_values(
    conditioning: list[Any], values: Mapping[str, Any] | None = None, append: bool = False
) -> list[Any]:
    """New conditioning pairs with `values` in every dictionary; `append` extends what is there already."""
    result = []
    for pair in conditioning:
        options = dict(pair[1])
        for key, value in (values or {}).items():
            old = options.get(key)
            options[key] = old + value if append and old is not None else value
        result.append([pair[0], options])
    return result


def pillow(function: Callable[[Any], Any], argument: Any) -> Any:
    """`function(argument)`, retried for truncated files with Pillow's tolerance switched on."""
    try:
        return function(argument)
    except (OSError, UnidentifiedImageError, ValueError):
        previous = ImageFile.LOAD_TRUNCATED_IMAGES
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            value = function(argument)
            if isinstance(value, Image.Image):
                value.load()
            return value
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = previous


def image_alpha_fix(destination: torch.Tensor, source: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Give both images [b h w c] the same number of channels: drop the source's alpha or add an opaque one."""
    if destination.shape[-1] < source.shape[-1]:
        source = source[..., : destination.shape[-1]]
    elif destination.shape[-1] > source.shape[-1]:
        opaque = torch.ones((*source.shape[:-1], 1), dtype=source.dtype, device=source.device)
        source = torch.cat([source, opaque], dim=-1)
    return destination, source


def string_to_torch_dtype(string: str) -> torch.dtype | None:
    """The dtype for fp32, fp16 or bf16; None for other words."""
    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}.get(string)
