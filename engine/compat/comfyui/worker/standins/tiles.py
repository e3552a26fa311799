"""Tiled processing: run a function on overlapping tiles and feather the seams."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

__all__ = ["get_tiled_scale_steps", "tiled_scale", "tiled_scale_multidim"]


def get_tiled_scale_steps(width: int, height: int, tile_x: int, tile_y: int, overlap: int) -> int:
    """How many tiles `tiled_scale` runs for an image of this size."""
    rows = 1 if height <= tile_y else math.ceil((height - overlap) / (tile_y - overlap))
    columns = 1 if width <= tile_x else math.ceil((width - overlap) / (tile_x - overlap))
    return rows * columns


def tiled_scale(
    samples: torch.Tensor,
    function: Callable[[torch.Tensor], torch.Tensor],
    tile_x: int = 64,
    tile_y: int = 64,
    overlap: int = 8,
    upscale_amount: float = 4,
    out_channels: int = 3,
    output_device: Any = "cpu",
    pbar: Any = None,
) -> torch.Tensor:
    """`function` over tiles of [b c h w]; the result is `upscale_amount` times as large."""
    return tiled_scale_multidim(
        samples, function, (tile_y, tile_x), overlap, upscale_amount, out_channels, output_device, pbar=pbar
    )


def tiled_scale_multidim(
    samples: torch.Tensor,
    function: Callable[[torch.Tensor], torch.Tensor],
    tile: Sequence[int] = (64, 64),
    overlap: int = 8,
    upscale_amount: float = 4,
    out_channels: int = 3,
    output_device: Any = "cpu",
    pbar: Any = None,
) -> torch.Tensor:
    """`function` over tiles of [b c, then one axis per entry of `tile`].

    Neighbouring tiles share `overlap` input cells; in the shared band each tile's weight rises linearly from its edge
    and the sum is divided by the weights.
    """
    sizes = samples.shape[2:]
    outputs = []
    for item in samples.split(1):
        shape = [1, out_channels, *(round(size * upscale_amount) for size in sizes)]
        total = torch.zeros(shape, device=output_device)
        weights = torch.zeros_like(total)
        starts = [_starts(size, length, overlap) for size, length in zip(sizes, tile)]
        for corner in itertools.product(*starts):
            spans = [slice(start, min(start + length, size)) for start, length, size in zip(corner, tile, sizes)]
            result = function(item[(slice(None), slice(None), *spans)]).to(total)
            place = _place(corner, result.shape[2:], upscale_amount, shape[2:])
            weight = _feather(result, round(overlap * upscale_amount), [len(axis) > 1 for axis in starts])
            total[place] += result * weight
            weights[place] += weight
            if pbar is not None:
                pbar.update(1)
        outputs.append(total / weights)
    return torch.cat(outputs)


def _starts(size: int, length: int, overlap: int) -> list[int]:
    if size <= length:
        return [0]
    step = max(1, length - overlap)
    # The last tile moves back to end at the edge, so that every tile is full.
    return [min(start, size - length) for start in range(0, size - overlap, step)]


def _place(corner: Sequence[int], size: Sequence[int], scale: float, limit: Sequence[int]) -> tuple[slice, ...]:
    starts = [min(round(start * scale), most - length) for start, length, most in zip(corner, size, limit)]
    return (slice(None), slice(None), *(slice(start, start + length) for start, length in zip(starts, size)))


def _feather(result: torch.Tensor, width: int, is_tiled: Sequence[bool]) -> torch.Tensor:
    """Weights in (0, 1]: 1 inside, falling linearly over `width` cells towards each edge of tiled axes."""
    weight = torch.ones_like(result)
    for axis, tiled in enumerate(is_tiled, start=2):
        length = result.shape[axis]
        band = min(width, length)
        if not tiled or band <= 0:
            continue
        ramp = torch.ones(length, device=result.device, dtype=result.dtype)
        rise = (torch.arange(band, device=result.device, dtype=result.dtype) + 1) / band
        ramp[:band] = torch.minimum(ramp[:band], rise)
        ramp[length - band :] = torch.minimum(ramp[length - band :], rise.flip(0))
        shape = [1] * result.ndim
        shape[axis] = length
        weight = weight * ramp.reshape(shape)
    return weight
