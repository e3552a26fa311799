"""What control networks add to the feature maps of a U-Net, and by which block."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor
from torch.nn import functional

__all__ = ["NO_RESIDUALS", "Residuals", "added", "sum_residuals"]


@dataclass(frozen=True, slots=True, eq=False)
class Residuals:
    """Feature maps [b c h w] by the number of the input block they belong to.

    inputs: added to what the block gives, which all later blocks see. skips: added to what it leaves for the way up
    alone. middle: added to what the middle block gives.
    """

    inputs: Mapping[int, Tensor] = field(default_factory=dict)
    skips: Mapping[int, Tensor] = field(default_factory=dict)
    middle: Tensor | None = None


NO_RESIDUALS = Residuals()


def added(features: Tensor, residual: Tensor | None) -> Tensor:
    """The sum; a residual of another height and width is scaled to the features', one of a single cell is spread."""
    if residual is None:
        return features
    # Sizes differ where an edit shrinks the U-Net's maps for a part of the trajectory.
    if residual.shape[2:] not in (features.shape[2:], (1, 1)):
        residual = functional.interpolate(residual, size=tuple(features.shape[2:]), mode="bilinear")
    return features + residual.to(features.dtype)


def sum_residuals(parts: Iterable[Residuals]) -> Residuals:
    """What several control networks add together."""
    inputs: dict[int, Tensor] = {}
    skips: dict[int, Tensor] = {}
    middle: Tensor | None = None
    for part in parts:
        for whole, own in ((inputs, part.inputs), (skips, part.skips)):
            for number, residual in own.items():
                whole[number] = whole[number] + residual if number in whole else residual
        if part.middle is not None:
            middle = part.middle if middle is None else middle + part.middle
    return Residuals(inputs, skips, middle)
