"""Making two latents agree in size."""

from __future__ import annotations

import torch

from engine.core.errors import NodeError
from engine.imaging.resize import resize
from engine.imaging.shape import repeat_to_batch

__all__ = ["PIXELS_PER_CELL", "match_latent", "require_same_layout"]

PIXELS_PER_CELL = 8
"""Pixels along one side of a latent cell, for nodes that count in pixels and know no autoencoder."""


def match_latent(
    first: torch.Tensor, second: torch.Tensor, method: str = "bilinear", *, repeat: bool = True
) -> torch.Tensor:
    """`second` on the grid of `first`: the middle part, resized; with `repeat` also its batch size.

    Raises NodeError like `require_same_layout`.
    """
    require_same_layout(first, second, "samples2")
    if repeat:
        second = second[: first.shape[0]]
    if first.shape[-2:] != second.shape[-2:]:
        second = resize(second, first.shape[-1], first.shape[-2], method, "center")
    return repeat_to_batch(second, first.shape[0]) if repeat else second


def require_same_layout(first: torch.Tensor, second: torch.Tensor, name: str) -> None:
    """Raise NodeError about the input `name` when two latents differ in more than batch, height and width.

    Latents of other channel counts, or (for videos) other frame counts, belong to different models.
    """
    if first.ndim != second.ndim or first.shape[1:-2] != second.shape[1:-2]:
        raise NodeError(
            f"Latents of shapes {list(first.shape)} and {list(second.shape)} do not go together.",
            code="bad_latent",
            hint="Both must come from the same kind of model and have the same number of frames.",
            input=name,
        )
