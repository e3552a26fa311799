"""What the XL refiner is told beside the text: the picture's size, its crop and how pleasing it is to be."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from engine.diffusion.conditioning import ConditioningEntry
from engine.families.unet.vector import NUMBER_WIDTH, numbers_vector, picture_size

__all__ = ["NUM_NUMBERS", "AestheticVector"]

NUM_NUMBERS = 5
_WANTED_SCORE = 6.0
_UNWANTED_SCORE = 2.5


@dataclass(frozen=True, slots=True)
class AestheticVector:
    """Pooled text, then height, width, top and left of the crop in pixels, and the aesthetic score.

    What conditioning does not state: the size of the picture being made, no crop, a score of 6, on the negative side
    2.5. Source: Podell et al. 2023, arXiv:2307.01952, and the published configuration.
    """

    width: int
    downscale: int

    def vector(self, entry: ConditioningEntry, latent: Tensor) -> Tensor:
        """[1|b k] float32. Raises NodeError when the pooled text does not fit."""
        height, width = picture_size(entry, latent, self.downscale)
        extras = entry.extras
        score = extras.get("aesthetic_score", _UNWANTED_SCORE if entry.is_negative else _WANTED_SCORE)
        numbers = (height, width, extras.get("crop_h", 0), extras.get("crop_w", 0), score)
        return numbers_vector(entry, self.width - NUM_NUMBERS * NUMBER_WIDTH, numbers)
