"""Reducing an image to a palette chosen for it, with error-diffusion or ordered dithering."""

from __future__ import annotations

import torch
from PIL import Image

from engine.imaging.picture import from_picture, to_picture

__all__ = ["bayer_matrix", "quantize"]


def bayer_matrix(order: int) -> torch.Tensor:
    """The ordered-dither thresholds of side `order` (a power of two), [order order], evenly spread in (-0.5, 0.5).

    Source: Bayer 1973, "An optimum method for two-level rendition of continuous-tone pictures".
    """
    ranks = torch.zeros(1, 1)
    while ranks.shape[0] < order:
        side = ranks.shape[0]
        quadrants = torch.tensor([[0.0, 2.0], [3.0, 1.0]]).repeat_interleave(side, 0).repeat_interleave(side, 1)
        ranks = 4 * ranks.repeat(2, 2) + quadrants
    return (ranks + 0.5) / ranks.numel() - 0.5


def quantize(image: torch.Tensor, colors: int, dither: str) -> torch.Tensor:
    """One image [h w 3] in at most `colors` colours of a median-cut palette.

    Args:
        dither: "none", "floyd-steinberg", or "bayer-N" with N 2, 4, 8 or 16. Ordered dithering shifts the 8-bit
            values by up to ±256/colours before the nearest colour is taken.
    """
    picture = to_picture(image[..., :3])
    palette = picture.quantize(colors=colors)
    diffusion = Image.Dither.NONE
    if dither == "floyd-steinberg":
        diffusion = Image.Dither.FLOYDSTEINBERG
    elif dither.startswith("bayer-"):
        picture = _with_ordered_noise(picture, int(dither[6:]), len(palette.getpalette() or ()) // 3)
    return from_picture(picture.quantize(palette=palette, dither=diffusion).convert("RGB"))


def _with_ordered_noise(picture: Image.Image, order: int, num_colors: int) -> Image.Image:
    pixels = from_picture(picture) * 255.0
    height, width = pixels.shape[:2]
    thresholds = bayer_matrix(order) * (2 * 256 / max(num_colors, 1)) + 0.5
    tiled = thresholds.repeat(-(-height // order), -(-width // order))[:height, :width, None]
    return Image.fromarray((pixels + tiled).clamp(0, 255).to(torch.uint8).numpy())
