"""What Stable Diffusion XL is told beside the text: sizes of the picture it came from, its crop and its target."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from engine.diffusion.conditioning import ConditioningEntry
from engine.families.unet.vector import NUMBER_WIDTH, numbers_vector, picture_size

__all__ = ["NUM_NUMBERS", "SizeVector"]

NUM_NUMBERS = 6


@dataclass(frozen=True, slots=True)
class SizeVector:
    """Pooled text, then height, width, top and left of the crop, target height, target width, in pixels.

    What conditioning does not state: the size of the picture being made, no crop, the original size as target.
    """

    width: int
    downscale: int

    def vector(self, entry: ConditioningEntry, latent: Tensor) -> Tensor:
        """[1|b k] float32. Raises NodeError when the pooled text does not fit."""
        height, width = picture_size(entry, latent, self.downscale)
        extras = entry.extras
        numbers = (
            height,
            width,
            extras.get("crop_h", 0),
            extras.get("crop_w", 0),
            extras.get("target_height", height),
            extras.get("target_width", width),
        )
        return numbers_vector(entry, self.width - NUM_NUMBERS * NUMBER_WIDTH, numbers)
