"""Resizing of latents by spherical interpolation ("bislerp"): directions turn, lengths are mixed linearly.

Averaging two unlike latent vectors shortens them, which decodes as grey mush; turning one into the other does not.
Source of slerp: Shoemake 1985, "Animating rotation with quaternion curves".
"""

from __future__ import annotations

import torch

__all__ = ["resize_bislerp", "slerp"]

_PARALLEL = 1 - 1e-5
"""Cosine beyond which two directions count as equal (or, negated, as opposite)."""


def slerp(first: torch.Tensor, second: torch.Tensor, ratio: torch.Tensor) -> torch.Tensor:
    """Spherical interpolation between rows of [n c]; `ratio` [n 1] from 0 (first) to 1 (second).

    Parallel rows give the first row; opposite rows have no shortest arc and are mixed linearly.
    """
    first_length = first.norm(dim=-1, keepdim=True)
    second_length = second.norm(dim=-1, keepdim=True)
    first_unit = torch.where(first_length == 0, 0.0, first / first_length)
    second_unit = torch.where(second_length == 0, 0.0, second / second_length)
    cosine = (first_unit * second_unit).sum(-1, keepdim=True)
    angle = torch.acos(cosine.clamp(-1, 1))
    sine = torch.sin(angle)
    turned = (torch.sin((1 - ratio) * angle) * first_unit + torch.sin(ratio * angle) * second_unit) / sine
    turned = turned * (first_length * (1 - ratio) + second_length * ratio)
    turned = torch.where(cosine > _PARALLEL, first, turned)
    return torch.where(cosine < -_PARALLEL, first * (1 - ratio) + second * ratio, turned)


def resize_bislerp(tensor: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """Resize [b c h w] along the width, then along the height, with `slerp` over the channel vectors."""
    wide = _resize_last_axis(tensor.float(), width)
    return _resize_last_axis(wide.mT, height).mT.to(tensor.dtype)


def _resize_last_axis(tensor: torch.Tensor, size: int) -> torch.Tensor:
    length = tensor.shape[-1]
    centres = (torch.arange(size, dtype=torch.float32, device=tensor.device) + 0.5) * (length / size) - 0.5
    centres = centres.clamp(0, length - 1)
    low = centres.floor().long()
    high = (low + 1).clamp(max=length - 1)
    ratio = centres - low
    vectors = tensor.movedim(1, -1)
    first, second = vectors[..., low, :], vectors[..., high, :]
    rows = ratio[:, None].expand((*first.shape[:-1], 1)).reshape(-1, 1)
    channels = tensor.shape[1]
    mixed = slerp(first.reshape(-1, channels), second.reshape(-1, channels), rows)
    return mixed.reshape(first.shape).movedim(-1, 1)
