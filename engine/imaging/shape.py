"""Making batches, channels and positions of images agree. Images are [b h w c] unless a function says otherwise."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from engine.core.errors import NodeError

__all__ = [
    "image_size",
    "mask_batch",
    "match_channels",
    "require_batch",
    "repeat_to_batch",
    "turn_clockwise",
    "visible_span",
]


def require_batch(image: torch.Tensor, name: str) -> torch.Tensor:
    """`image` itself when it is a non-empty image batch [b h w c], else NodeError naming the input `name`."""
    if image.ndim != 4 or image.numel() == 0:
        raise NodeError(
            f"{name} must be a non-empty image batch [b h w c], it has shape {list(image.shape)}.",
            code="bad_image",
            hint="Connect the output of a node that makes images.",
            input=name,
        )
    return image


def image_size(image: torch.Tensor) -> str:
    """Width and height of an image batch in words, for messages."""
    return f"{image.shape[2]}×{image.shape[1]}"


def mask_batch(mask: torch.Tensor) -> torch.Tensor:
    """A mask of one of the shapes masks come in, [h w], [b h w] or [b 1 h w], as [b h w]; not copied."""
    return mask.reshape(math.prod(mask.shape[:-2]), *mask.shape[-2:])


def repeat_to_batch(tensor: torch.Tensor, batch_size: int) -> torch.Tensor:
    """`tensor` with exactly `batch_size` entries along axis 0: cut, or repeated from the start.

    No copy is made when the size already fits.
    """
    length = tensor.shape[0]
    if length == batch_size:
        return tensor
    if length > batch_size:
        return tensor[:batch_size]
    times = -(-batch_size // length)
    return tensor.repeat(times, *([1] * (tensor.ndim - 1)))[:batch_size]


def match_channels(first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Two images with the channel count of the first; missing channels (alpha) are filled with 1, extra ones cut."""
    wanted, present = first.shape[-1], second.shape[-1]
    if present > wanted:
        second = second[..., :wanted]
    elif present < wanted:
        second = F.pad(second, (0, wanted - present), value=1.0)
    return first, second


def turn_clockwise(tensor: torch.Tensor, rotation: str, *, rows: int, columns: int) -> torch.Tensor:
    """`tensor` turned by "none", "90 degrees", "180 degrees" or "270 degrees" in the plane of two of its axes."""
    num_turns = ("none", "90 degrees", "180 degrees", "270 degrees").index(rotation)
    return torch.rot90(tensor, num_turns, dims=(columns, rows))


def visible_span(offset: int, length: int, limit: int) -> tuple[slice, slice]:
    """Where a span of `length` placed at `offset` meets [0, limit): slices (in the target, in the span).

    Both slices are empty when they do not meet.
    """
    start = min(max(offset, 0), limit)
    stop = max(start, min(offset + length, limit))
    inner = start - offset
    return slice(start, stop), slice(max(inner, 0), max(inner, 0) + stop - start)
