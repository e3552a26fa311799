"""Combining conditioning, and saying where, when and how strongly it applies.

Conditioning is a list of [tensor, dict] pairs. A node makes new pairs and leaves those it was given as they are.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch

from engine.api import MAX_DIMENSION, Conditioning, Mask, NodeError, Range, node

__all__ = [
    "average",
    "combine",
    "concatenate",
    "set_area",
    "set_area_fraction",
    "set_guidance",
    "set_mask",
    "set_strength",
    "set_trajectory_range",
    "zero_out",
]

_PIXELS_PER_CELL = 8

Strength = Annotated[float, Range(0.0, 10.0, step=0.01)]
Fraction = Annotated[float, Range(0, 1.0, step=0.01)]
Extent = Annotated[int, Range(64, MAX_DIMENSION, step=8)]
Offset = Annotated[int, Range(0, MAX_DIMENSION, step=8)]
Moment = Annotated[float, Range(0.0, 1.0, step=0.001)]


def _with(conditioning: list[Any], **options: Any) -> list[Any]:
    return [[tensor, {**old, **options}] for tensor, old in conditioning]


def _first(conditioning: list[Any], name: str) -> tuple[torch.Tensor, dict[str, Any]]:
    if not conditioning:
        raise NodeError("The conditioning is empty.", code="bad_conditioning", input=name)
    return conditioning[0][0], conditioning[0][1]


@node("ConditioningCombine", title="Conditioning (Combine)", category="conditioning")
def combine(conditioning_1: Conditioning, conditioning_2: Conditioning) -> Conditioning:
    """Both at once: each is predicted for itself, and the predictions are averaged by strength where they overlap."""
    return [*conditioning_1, *conditioning_2]


@node("ConditioningConcat", title="Conditioning (Concat)", category="conditioning")
def concatenate(conditioning_to: Conditioning, conditioning_from: Conditioning) -> Conditioning:
    """Append the tokens of the first entry of `conditioning_from` to those of every entry of `conditioning_to`."""
    tokens, _ = _first(conditioning_from, "conditioning_from")
    return [[torch.cat([own, tokens], dim=1), dict(options)] for own, options in conditioning_to]


@node("ConditioningAverage", category="conditioning")
def average(
    conditioning_to: Conditioning,
    conditioning_from: Conditioning,
    conditioning_to_strength: Annotated[float, Range(0.0, 1.0, step=0.01)] = 1.0,
) -> Conditioning:
    """Mix each entry with the first of `conditioning_from`, token by token; missing tokens count as zeros."""
    tokens, options_from = _first(conditioning_from, "conditioning_from")
    pooled_from = options_from.get("pooled_output")
    weight = conditioning_to_strength
    mixed = []
    for own, options in conditioning_to:
        other = tokens[:, : own.shape[1]]
        other = torch.nn.functional.pad(other, (0, 0, 0, own.shape[1] - other.shape[1]))
        result = dict(options)
        pooled = options.get("pooled_output", pooled_from)
        if pooled is not None and pooled_from is not None:
            result["pooled_output"] = pooled * weight + pooled_from * (1.0 - weight)
        elif pooled is not None:
            result["pooled_output"] = pooled
        mixed.append([own * weight + other * (1.0 - weight), result])
    return mixed


@node("ConditioningSetArea", title="Conditioning (Set Area)", category="conditioning")
def set_area(
    conditioning: Conditioning,
    width: Extent = 64,
    height: Extent = 64,
    x: Offset = 0,
    y: Offset = 0,
    strength: Strength = 1.0,
) -> Conditioning:
    """Apply only inside a rectangle, in pixels."""
    area = tuple(number // _PIXELS_PER_CELL for number in (height, width, y, x))
    return _with(conditioning, area=area, strength=strength, set_area_to_bounds=False)


@node("ConditioningSetAreaPercentage", title="Conditioning (Set Area with Percentage)", category="conditioning")
def set_area_fraction(
    conditioning: Conditioning,
    width: Fraction = 1.0,
    height: Fraction = 1.0,
    x: Fraction = 0,
    y: Fraction = 0,
    strength: Strength = 1.0,
) -> Conditioning:
    """Apply only inside a rectangle, in fractions of the picture."""
    return _with(conditioning, area=("percentage", height, width, y, x), strength=strength, set_area_to_bounds=False)


@node("ConditioningSetAreaStrength", category="conditioning")
def set_strength(conditioning: Conditioning, strength: Strength = 1.0) -> Conditioning:
    """Weight against other conditioning that covers the same place."""
    return _with(conditioning, strength=strength)


@node("ConditioningSetMask", title="Conditioning (Set Mask)", category="conditioning")
def set_mask(
    conditioning: Conditioning,
    mask: Mask,
    strength: Strength = 1.0,
    *,
    set_cond_area: Literal["default", "mask bounds"],
) -> Conditioning:
    """Apply as strongly as the mask says; with "mask bounds", predict only the box around it."""
    planes = mask if mask.ndim > 2 else mask[None]
    return _with(conditioning, mask=planes, mask_strength=strength, set_area_to_bounds=set_cond_area != "default")


@node("ConditioningSetTimestepRange", category="advanced/conditioning")
def set_trajectory_range(conditioning: Conditioning, start: Moment = 0.0, end: Moment = 1.0) -> Conditioning:
    """Apply only during a part of sampling: 0 is pure noise, 1 the finished picture."""
    return _with(conditioning, start_percent=start, end_percent=end)


@node("ConditioningZeroOut", category="advanced/conditioning")
def zero_out(conditioning: Conditioning) -> Conditioning:
    """The same entries with tokens and pooled vectors of zeros."""
    result = []
    for tokens, options in conditioning:
        zeroed = dict(options)
        if zeroed.get("pooled_output") is not None:
            zeroed["pooled_output"] = torch.zeros_like(zeroed["pooled_output"])
        result.append([torch.zeros_like(tokens), zeroed])
    return result


@node("FluxGuidance", category="advanced/conditioning/flux", schema_form=True)
def set_guidance(
    conditioning: Conditioning, guidance: Annotated[float, Range(0.0, 100.0, step=0.1)] = 3.5
) -> Conditioning:
    """Tell networks that were distilled with guidance inside, as latent consistency models are, how strong it is to be.

    Others have no use for it. Such a network is sampled with a cfg of 1.
    """
    return _with(conditioning, guidance=guidance)
