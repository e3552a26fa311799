"""Flat grey morphology: square and cross-shaped neighbourhoods, pixels outside the image ignored.

Source: Serra 1982, "Image Analysis and Mathematical Morphology". Squares are separable and windows double, so cost
is logarithmic in the size of the neighbourhood.
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
    """Maximum over the pixel and its four neighbours, `times` times over: grows by a diamond. [b c h w]"""
    for _ in range(times):
        across = F.max_pool2d(tensor, (1, 3), stride=1, padding=(0, 1))
        down = F.max_pool2d(tensor, (3, 1), stride=1, padding=(1, 0))
        grown = torch.maximum(across, down)
        if torch.equal(grown, tensor):
            break
        tensor = grown
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
