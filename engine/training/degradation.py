"""Small versions of pictures as an upscaler meets them: reduced, and perhaps a little noisy or compressed."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from engine.training.postcards.chance import Chance

__all__ = ["DegradationRecipe", "degraded", "reduced"]

Reduction = Literal["area", "bicubic"]


@dataclass(frozen=True, slots=True)
class DegradationRecipe:
    """reduction: how pictures are made smaller; mixed draws one of both for each.

    noise_share, max_noise: how many get noise, and its greatest deviation with pixels in [0, 1].
    jpeg_share, min_jpeg_quality: how many are compressed, and the worst quality, up to 95.
    """

    reduction: Literal["area", "bicubic", "mixed"] = "mixed"
    noise_share: float = 0.0
    max_noise: float = 0.02
    jpeg_share: float = 0.0
    min_jpeg_quality: int = 75

    def __post_init__(self) -> None:
        if not (0 <= self.noise_share <= 1 and 0 <= self.jpeg_share <= 1):
            raise ValueError("noise_share and jpeg_share are shares between 0 and 1")
        if not 1 <= self.min_jpeg_quality <= 95:
            raise ValueError("min_jpeg_quality lies between 1 and 95")


def reduced(pixels: Tensor, scale: int, reduction: Reduction) -> Tensor:
    """Pixels [b 3 h w] made smaller by `scale`: means of squares, or an antialiased bicubic filter."""
    if reduction == "area":
        return functional.avg_pool2d(pixels, scale)
    size = [edge // scale for edge in pixels.shape[2:]]
    return functional.interpolate(pixels, size, mode="bicubic", antialias=True, align_corners=False)


def degraded(pixels: Tensor, scale: int, recipe: DegradationRecipe, chance: Chance) -> Tensor:
    """One picture [3 h w] in [0, 1], sides multiples of `scale`, as its small version [3 h/s w/s] in [0, 1]."""
    kinds: tuple[Reduction, ...] = ("area", "bicubic")
    reduction = chance.stream("reduction").pick(kinds) if recipe.reduction == "mixed" else recipe.reduction
    small = reduced(pixels[None], scale, reduction)[0]
    noise = chance.stream("noise")
    if noise.happens(recipe.noise_share):
        generator = torch.Generator().manual_seed(noise.bits() >> 1)
        level = recipe.max_noise * torch.rand((), generator=generator)
        small = small + level * torch.randn(small.shape, generator=generator)
    small = small.clamp(0, 1)
    jpeg = chance.stream("jpeg")
    if jpeg.happens(recipe.jpeg_share):
        small = _compressed(small, recipe.min_jpeg_quality + jpeg.below(96 - recipe.min_jpeg_quality))
    return small


def _compressed(pixels: Tensor, quality: int) -> Tensor:
    """Through JPEG and back."""
    values = pixels.mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(values)).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as picture:
        return torch.from_numpy(np.array(picture, dtype=np.float32)).movedim(-1, 0) / 255.0
