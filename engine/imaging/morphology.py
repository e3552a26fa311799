"""Flat grey morphology: squares and diamonds as neighbourhoods, pixels outside the image ignored.

Source: Serra 1982, "Image Analysis and Mathematical Morphology". Squares are separable and windows double; diamonds are
unions of shifted smaller ones (van den Boomgaard & van Balen 1992, "Methods for fast morphological image transforms
using bitmapped binary images"). So cost is logarithmic in the size of the neighbourhood.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

__all__ = ["dilate", "dilate_cross", "erode", "erode_cross"]


def dilate(tensor: torch.Tensor, size: int) -> torch.Tensor:
    """Maximum over a size × size square, [b c h w]. Even squares reach one pixel further right and down in `erode`'s
    mirror image, so that dilate and erode are adjoint.
    """
    return _running_maximum(tensor, size, before=size - 1 - size // 2)


def erode(tensor: torch.Tensor, size: int) -> torch.Tensor:
    """Minimum over a size × size square, [b c h w]."""
    return -_running_maximum(-tensor, size, before=size // 2)


def dilate_cross(tensor: torch.Tensor, times: int) -> torch.Tensor:
    """Maximum over the pixel and its four neighbours, `times` times over: a diamond. [b c h w]

    A diamond of radius r and its copies shifted by s in the four directions together are the diamond of radius r + s
    as long as s ≤ r/2 + 1. That holds inside the image alone: a pixel nearer than s in both directions is within r,
    and one that is not has a copy's centre between it and the middle. So the radius grows by half per round.
    """
    height, width = tensor.shape[-2:]
    target = min(times, height + width - 2)  # by then the diamond covers the image from any pixel
    radius = 0
    while radius < target:
        shift = min(radius // 2 + 1, target - radius)
        grown = tensor.clone()
        for near, far in (((..., slice(shift, None), slice(None)), (..., slice(None, -shift), slice(None))),
                          ((..., slice(shift, None)), (..., slice(None, -shift)))):  # fmt: skip
            torch.maximum(grown[near], tensor[far], out=grown[near])
            torch.maximum(grown[far], tensor[near], out=grown[far])
        tensor = grown
        radius += shift
    return tensor


def erode_cross(tensor: torch.Tensor, times: int) -> torch.Tensor:
    """Minimum over the pixel and its four neighbours, `times` times over. [b c h w]"""
    return -dilate_cross(-tensor, times)


def _running_maximum(tensor: torch.Tensor, size: int, before: int) -> torch.Tensor:
    after = size - 1 - before
    height, width = tensor.shape[-2:]
    # Beyond the image's own extent a neighbourhood sees nothing more.
    left, right = min(before, width - 1), min(after, width - 1)
    top, bottom = min(before, height - 1), min(after, height - 1)
    padded = F.pad(tensor, (left, right, top, bottom), value=float("-inf"))
    across = _window_maximum(padded, left + right + 1)
    return _window_maximum(across.mT, top + bottom + 1).mT


def _window_maximum(tensor: torch.Tensor, size: int) -> torch.Tensor:
    """Maxima of all windows of `size` along the last axis, by doubling: log₂ size steps."""
    reach = 1
    while reach < size:
        step = min(reach, size - reach)
        tensor = torch.maximum(tensor[..., :-step], tensor[..., step:])
        reach += step
    return tensor
