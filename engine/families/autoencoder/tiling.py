"""Running a function on overlapping tiles of a picture and blending the results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

__all__ = ["blend_tiles", "count_tiles", "tile_starts"]


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """First cells of the tiles that cover `length` cells, each sharing `overlap` cells with the next."""
    if length <= tile:
        return [0]
    return [min(start, length - overlap) for start in range(0, length - overlap, tile - overlap)]


def count_tiles(size: Sequence[int], tile: tuple[int, int], overlap: int) -> int:
    """How many tiles cover height and width `size`."""
    return len(tile_starts(size[0], tile[0], overlap)) * len(tile_starts(size[1], tile[1], overlap))


def blend_tiles(
    function: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    tile: tuple[int, int],
    overlap: int,
    scale: tuple[int, int],
    out_channels: int,
) -> Tensor:
    """Apply `function` to tiles of x [b c h w] and blend: float32 [b out_channels h·s w·s] on the CPU.

    Args:
        function: one tile [1 c h w] → its result, `scale` = (numerator, denominator) times as large.
        x: the picture, item by item.
        tile: height and width of a tile in cells of x.
        overlap: cells that neighbours share; their weights rise linearly over it.
        scale: size ratio between result and x as a fraction.
        out_channels: channels of the result.
    """
    times, over = scale
    height, width = (size * times // over for size in x.shape[2:])
    overlap = min(overlap, min(tile) - 1)
    feather = max(1, overlap * times // over)
    whole = torch.zeros(x.shape[0], out_channels, height, width)
    for item in range(x.shape[0]):
        weights = torch.zeros(1, height, width)
        for top, left, bottom, right in _boxes(x.shape[2:], tile, overlap):
            part = function(x[item : item + 1, :, top:bottom, left:right])[0].float().cpu()
            mask = _ramp(part.shape[1], feather)[:, None] * _ramp(part.shape[2], feather)[None]
            rows = slice(top * times // over, top * times // over + part.shape[1])
            columns = slice(left * times // over, left * times // over + part.shape[2])
            whole[item, :, rows, columns] += part * mask
            weights[:, rows, columns] += mask
        whole[item] /= weights
    return whole


def _boxes(size: torch.Size, tile: tuple[int, int], overlap: int) -> Iterator[tuple[int, int, int, int]]:
    for top in tile_starts(size[0], tile[0], overlap):
        for left in tile_starts(size[1], tile[1], overlap):
            yield top, left, min(top + tile[0], size[0]), min(left + tile[1], size[1])


def _ramp(length: int, feather: int) -> Tensor:
    """Weights along one axis: rising over `feather` cells from each end."""
    places = torch.arange(1, length + 1)
    return (torch.minimum(places, places.flip(0)) / feather).clamp(max=1.0)
