"""Arithmetic on latents, and joining or cutting them along an axis."""

from __future__ import annotations

from typing import Annotated, Literal

import torch

from engine.api import MAX_DIMENSION, Latent, NodeError, Range, imaging, node, require_room

__all__ = [
    "add_latents",
    "blend_latents",
    "concat_latents",
    "cut_latent",
    "interpolate_latents",
    "multiply_latent",
    "subtract_latents",
]

_AXES = {"x": -1, "y": -2, "t": -3}


def _pair(samples1: Latent, samples2: Latent) -> tuple[torch.Tensor, torch.Tensor]:
    first = samples1["samples"]
    return first, imaging.match_latent(first, samples2["samples"].to(first))


@node("LatentAdd", category="latent/advanced", schema_form=True)
def add_latents(samples1: Latent, samples2: Latent) -> Latent:
    """a + b; b is cut and scaled to a's size and repeated over its batch."""
    first, second = _pair(samples1, samples2)
    return {**samples1, "samples": first + second}


@node("LatentSubtract", category="latent/advanced", schema_form=True)
def subtract_latents(samples1: Latent, samples2: Latent) -> Latent:
    """a - b; b is cut and scaled to a's size and repeated over its batch."""
    first, second = _pair(samples1, samples2)
    return {**samples1, "samples": first - second}


@node("LatentMultiply", category="latent/advanced", schema_form=True)
def multiply_latent(samples: Latent, multiplier: Annotated[float, Range(-10.0, 10.0, step=0.01)] = 1.0) -> Latent:
    """Every value times the multiplier."""
    return {**samples, "samples": samples["samples"] * multiplier}


@node("LatentInterpolate", category="latent/advanced", schema_form=True)
def interpolate_latents(
    samples1: Latent, samples2: Latent, ratio: Annotated[float, Range(0.0, 1.0, step=0.01)] = 1.0
) -> Latent:
    """Mix directions and lengths of the channel vectors apart: ratio 1 is the first latent, 0 the second.

    Directions are mixed linearly and brought back to length 1; zero vectors stay zero.
    """
    first, second = _pair(samples1, samples2)
    first_length, second_length = (value.norm(dim=1, keepdim=True) for value in (first, second))
    direction = torch.nan_to_num(first / first_length) * ratio + torch.nan_to_num(second / second_length) * (1 - ratio)
    direction = torch.nan_to_num(direction / direction.norm(dim=1, keepdim=True))
    return {**samples1, "samples": direction * (first_length * ratio + second_length * (1 - ratio))}


@node("LatentBlend", title="Latent Blend", category="_for_testing")
def blend_latents(
    samples1: Latent, samples2: Latent, blend_factor: Annotated[float, Range(0, 1, step=0.01)] = 0.5
) -> Latent:
    """f a + (1 - f) b; b is cut and scaled (bicubic) to a's size."""
    first = samples1["samples"]
    second = imaging.match_latent(first, samples2["samples"].to(first), "bicubic")
    return {**samples1, "samples": first * blend_factor + second * (1 - blend_factor)}


@node("LatentConcat", category="latent/advanced", schema_form=True)
def concat_latents(samples1: Latent, samples2: Latent, dim: Literal["x", "-x", "y", "-y", "t", "-t"]) -> Latent:
    """Join along the width (x), height (y) or frames (t, videos only); with a minus the second comes first.

    The second is repeated over the first's batch; all other sizes must agree.
    """
    first = samples1["samples"]
    second = samples2["samples"]
    axis = _axis(first, dim.lstrip("-"))
    if second.ndim != first.ndim or _other_sides(first, axis) != _other_sides(second, axis):
        raise NodeError(
            f"Latents of shapes {list(first.shape)} and {list(second.shape)} cannot be joined along {dim}.",
            code="size_mismatch",
            hint="Scale or crop one of them so that all other sides agree.",
            input="samples2",
        )
    shape = [*first.shape]
    shape[axis] += second.shape[axis]
    require_room(shape, "samples2")
    second = imaging.repeat_to_batch(second.to(first), len(first))
    return {**samples1, "samples": torch.cat([second, first] if dim.startswith("-") else [first, second], dim=axis)}


def _other_sides(latent: torch.Tensor, axis: int) -> list[int]:
    """All sizes but the batch's and that of `axis` (counted from the end)."""
    return [size for index, size in enumerate(latent.shape) if index not in (0, latent.ndim + axis)]


@node("LatentCut", category="latent/advanced", schema_form=True)
def cut_latent(
    samples: Latent,
    dim: Literal["x", "y", "t"],
    index: Annotated[int, Range(-MAX_DIMENSION, MAX_DIMENSION, step=1)] = 0,
    amount: Annotated[int, Range(1, MAX_DIMENSION, step=1)] = 1,
) -> Latent:
    """`amount` cells from `index` on along an axis, as far as there are any; an index below 0 counts from the end."""
    latent = samples["samples"]
    axis = _axis(latent, dim)
    length = latent.shape[axis]
    start = min(index, length - 1) if index >= 0 else max(length + index, 0)
    return {**samples, "samples": latent.narrow(axis, start, min(amount, length - start)).clone()}


def _axis(latent: torch.Tensor, name: str) -> int:
    if name == "t" and latent.ndim < 5:
        raise NodeError(
            f"A latent of shape {list(latent.shape)} has no frames.",
            code="bad_latent",
            hint="t is for video latents [b c t h w]; use x or y, or Latent Batch.",
            input="dim",
        )
    return _AXES[name]
