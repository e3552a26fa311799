"""RGB to YCbCr and back, full range, ITU-R BT.601 weights."""

from __future__ import annotations

import torch

__all__ = ["packed_rgb", "rgb_to_ycbcr", "unpacked_rgb", "ycbcr_to_rgb"]

_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114
_CB_SCALE, _CR_SCALE = 0.564, 0.713
"""1/(2(1-0.114)) and 1/(2(1-0.299)), to the three digits common in practice."""


def rgb_to_ycbcr(image: torch.Tensor) -> torch.Tensor:
    """[… 3] in [0, 1] → Y, Cb, Cr [… 3]; grey has Cb = Cr = 0.5."""
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    luma = _RED * red + _GREEN * green + _BLUE * blue
    return torch.stack([luma, (blue - luma) * _CB_SCALE + 0.5, (red - luma) * _CR_SCALE + 0.5], dim=-1)


def ycbcr_to_rgb(image: torch.Tensor) -> torch.Tensor:
    """The inverse of `rgb_to_ycbcr`, clipped to [0, 1]."""
    luma, blueness, redness = image[..., 0], image[..., 1] - 0.5, image[..., 2] - 0.5
    red = luma + redness / _CR_SCALE
    blue = luma + blueness / _CB_SCALE
    green = (luma - _RED * red - _BLUE * blue) / _GREEN
    return torch.stack([red, green, blue], dim=-1).clamp(0, 1)


def unpacked_rgb(color: int) -> tuple[float, float, float]:
    """0xRRGGBB as three values in [0, 1]."""
    return ((color >> 16) & 0xFF) / 255, ((color >> 8) & 0xFF) / 255, (color & 0xFF) / 255


def packed_rgb(image: torch.Tensor) -> torch.Tensor:
    """[… 3+] in [0, 1], rounded to 8 bits, as 0xRRGGBB int32 […]."""
    parts = (image[..., :3].clamp(0, 1) * 255.0).round().to(torch.int32)
    return (parts[..., 0] << 16) + (parts[..., 1] << 8) + parts[..., 2]
