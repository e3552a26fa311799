"""The LATENT socket's value {"samples", "noise_mask"?, "batch_index"?, …} as sampling needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.core.errors import NodeError

__all__ = ["LatentInput", "fit_mask", "parse_latent", "with_samples"]


@dataclass(frozen=True, slots=True, eq=False)
class LatentInput:
    """What is to be sampled from.

    samples: [b c h w] in the scale of the autoencoder.
    noise_mask: 1 where the picture may change, [b 1 h w] at latent resolution, or None.
    batch_index: place of each item in the batch its seed stands for, or None.
    """

    samples: Tensor
    noise_mask: Tensor | None = None
    batch_index: tuple[int, ...] | None = None


def parse_latent(value: Mapping[str, Any]) -> LatentInput:
    """Read the value of a LATENT socket.

    Raises:
        NodeError: there are no samples, or a batch_index that does not name every item.
    """
    samples = value.get("samples")
    if not isinstance(samples, Tensor) or samples.ndim < 4:
        raise NodeError("A latent must hold a tensor 'samples' of at least four axes.", code="bad_latent")
    mask = value.get("noise_mask")
    index = value.get("batch_index")
    if index is not None and len(index) != samples.shape[0]:
        raise NodeError(
            f"The latent has {samples.shape[0]} items but its batch_index names {len(index)}.", code="bad_latent"
        )
    return LatentInput(
        samples=samples,
        noise_mask=None if mask is None else fit_mask(mask, samples.shape),
        batch_index=None if index is None else tuple(int(i) for i in index),
    )


def fit_mask(mask: Tensor, shape: torch.Size) -> Tensor:
    """A mask [h w], [b h w] or [b 1 h w] of any resolution as float32 [b 1 h w] for a latent of this shape.

    Resized bilinearly; fewer masks than items are repeated in turn, surplus ones are dropped.
    """
    planes = mask.reshape(-1, 1, *mask.shape[-2:]).float()
    if planes.shape[-2:] != shape[-2:]:
        planes = torch.nn.functional.interpolate(planes, size=tuple(shape[-2:]), mode="bilinear")
    repeats = -(-shape[0] // planes.shape[0])
    return planes.repeat(repeats, 1, 1, 1)[: shape[0]]


def with_samples(value: Mapping[str, Any], samples: Tensor) -> dict[str, Any]:
    """A LATENT value with these samples and everything else as in `value`."""
    return {**value, "samples": samples}
