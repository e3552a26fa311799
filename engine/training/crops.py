"""Crops of the pictures of a batch, larger or fewer as a run goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.training.config.error import ConfigError
from engine.training.randomness import StepChance

__all__ = ["CropRecipe", "crop_of", "cut"]


@dataclass(frozen=True, slots=True)
class CropRecipe:
    """Square crops of `size` pixels at random places, `per_picture` of each picture, from step `from_step` on.

    Several crops of one picture make use of all of it where pictures are costly to read or paint.
    """

    size: int
    per_picture: int = 1
    from_step: int = 0

    def __post_init__(self) -> None:
        if self.size < 1 or self.per_picture < 1 or self.from_step < 0:
            raise ValueError("size and per_picture are at least 1, from_step at least 0")


def crop_of(crops: Sequence[CropRecipe], step: int) -> CropRecipe | None:
    """The crop of a step: the last that has begun; None for whole pictures."""
    begun = [crop for crop in crops if crop.from_step <= step]
    return max(begun, key=lambda crop: crop.from_step, default=None)


def cut(pictures: Sequence[Tensor], crop: CropRecipe | None, chance: StepChance) -> list[Tensor]:
    """The same crops of several batches of pictures that show the same at whole multiples of the first one's size.

    Args:
        pictures: [b c h w] each. `crop.size` counts pixels of the first.
        chance: of the step; the places depend on nothing else.

    Returns [b·n c size size] each, the crops of one picture one after another; the pictures themselves without `crop`.
    Raises ConfigError when a picture is smaller than a crop.
    """
    if crop is None:
        return list(pictures)
    height, width = pictures[0].shape[2:]
    if min(height, width) < crop.size:
        raise ConfigError(
            f"Crops of {crop.size} pixels do not fit into pictures of {height}x{width}.",
            hint="Give larger pictures, or smaller crops in model.crops.",
        )
    slack = torch.tensor([height - crop.size + 1, width - crop.size + 1])
    places = (chance.on_host.uniform("crop", (crop.per_picture, 2)) * slack).long().tolist()
    factors = [part.shape[2] // height for part in pictures]
    return [
        torch.stack([
            picture[:, y * k : (y + crop.size) * k, x * k : (x + crop.size) * k]
            for picture, corners in zip(part, places, strict=True)
            for y, x in corners
        ])
        for part, k in zip(pictures, factors, strict=True)
    ]  # fmt: skip
