"""Pictures to show to control networks, made of others by arithmetic alone. Images are [b h w c] in [0, 1].

Sources: the preprocessors published with ControlNet 1.1 (Zhang, lllyasviel/ControlNet-v1-1-nightly) and with the colour
adapter of T2I-Adapter (Mou et al. 2023, arXiv:2302.08453, section 3.3).
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from engine.imaging.filters import convolve_reflected, gaussian_kernel
from engine.imaging.resize import resize
from engine.imaging.shape import mask_batch

__all__ = ["HOLE", "blank_hole", "color_cells", "scribble", "shuffle_content", "soften_tiles"]

HOLE = -1.0
"""What inpainting ControlNets are shown where the picture is to be made."""

_FINE_PX, _COARSE_PX = 0.5, 5.0
_REACH = 3.0
"""Radius of a blur in deviations."""


def scribble(image: torch.Tensor, threshold: float) -> torch.Tensor:
    """White lines on black, where a picture is darker than its surroundings in every colour, by half the threshold."""
    pixels = image[..., :3].movedim(-1, 1)
    darker = (_blurred(pixels, _COARSE_PX) - _blurred(pixels, _FINE_PX)).amin(dim=1)
    lines = (2.0 * darker > threshold).to(image.dtype)
    return lines[..., None].expand(-1, -1, -1, 3).contiguous()


def soften_tiles(image: torch.Tensor, factor: int) -> torch.Tensor:
    """The picture without detail finer than `factor` pixels: averaged down and enlarged again."""
    height, width = image.shape[1:3]
    pixels = image[..., :3].movedim(-1, 1)
    small = resize(pixels, max(1, width // factor), max(1, height // factor), "area")
    return resize(small, width, height, "bicubic").clamp(0, 1).movedim(1, -1).contiguous()


def color_cells(image: torch.Tensor, cell_px: int) -> torch.Tensor:
    """Squares of one colour each, as large as `cell_px`."""
    height, width = image.shape[1:3]
    pixels = image[..., :3].movedim(-1, 1)
    small = resize(pixels, max(1, width // cell_px), max(1, height // cell_px), "bicubic").clamp(0, 1)
    return resize(small, width, height, "nearest-exact").movedim(1, -1).contiguous()


def shuffle_content(image: torch.Tensor, seed: int, grain_px: int = 256) -> torch.Tensor:
    """The picture's colours and materials without its layout: every pixel is fetched from elsewhere by a smooth flow.

    Item n of a batch has the flow of seed + n.
    """
    height, width = image.shape[1:3]
    flows = []
    for number in range(image.shape[0]):
        generator = torch.Generator().manual_seed(seed + number)
        coarse = torch.rand((1, 2, height // grain_px + 2, width // grain_px + 2), generator=generator)
        # Wider than the picture by a grain on each side, so that its borders are like its middle.
        smooth = resize(coarse, width + 2 * grain_px, height + 2 * grain_px, "bicubic")
        flows.append(smooth[..., grain_px : grain_px + height, grain_px : grain_px + width])
    flow = torch.cat(flows)
    low, high = flow.amin(dim=(2, 3), keepdim=True), flow.amax(dim=(2, 3), keepdim=True)
    places = ((flow - low) / (high - low).clamp(min=1e-6) * 2.0 - 1.0).movedim(1, -1)
    pixels = image[..., :3].movedim(-1, 1)
    return functional.grid_sample(pixels, places.to(pixels), align_corners=True).movedim(1, -1).contiguous()


def blank_hole(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The picture with `HOLE` where the mask [b h w] is above a half; the mask is scaled to the picture."""
    height, width = image.shape[1:3]
    planes = resize(mask_batch(mask)[:, None], width, height, "bilinear")[:, 0, ..., None]
    return torch.where(planes > 0.5, torch.full((), HOLE).to(image), image[..., :3])


def _blurred(pixels: torch.Tensor, deviation_px: float) -> torch.Tensor:
    radius = math.ceil(_REACH * deviation_px)
    return convolve_reflected(pixels, gaussian_kernel(radius, deviation_px / radius))
