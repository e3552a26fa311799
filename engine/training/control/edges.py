"""Edges of the picture itself, as the picture a control network is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from engine.training.context import BuildContext
from engine.training.control.hint import ShownHint

__all__ = ["CannyRecipe"]

_NUM_COLOURS = 3


@dataclass(frozen=True, slots=True)
class CannyRecipe:
    """White edges on black, as the Canny node finds them with these thresholds.

    Source: Canny 1986, "A computational approach to edge detection".
    """

    kind: Literal["canny"] = "canny"
    input_key: str = "image"
    low_threshold: float = 0.1
    high_threshold: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.low_threshold <= self.high_threshold < 1:
            raise ValueError("low_threshold is above 0 and not above high_threshold, which is below 1")

    def build(self, context: BuildContext, part: str) -> ShownHint:
        """The embedder; it has no weights."""
        return ShownHint(self)

    def hint(self, pixels: Tensor) -> Tensor:
        """Pictures [b 3 h w] in [-1, 1] → edges [b 3 h w], 0 or 1."""
        from kornia.filters import canny  # takes a second to import, and few runs need it

        _, edges = canny((pixels + 1) / 2, self.low_threshold, self.high_threshold)
        return edges.expand(-1, _NUM_COLOURS, -1, -1)

    def packed(self, hint: Tensor) -> np.ndarray:
        """A bit a pixel, the first in the highest bit: uint8 [b 1 h w/8]. The width is a multiple of 8."""
        return np.packbits(hint[:, :1].cpu().numpy() > 0.5, axis=-1)

    def unpacked(self, stored: Tensor) -> Tensor:
        """[b 3 h w], 0 or 1."""
        places = torch.arange(7, -1, -1, device=stored.device, dtype=torch.uint8)
        bits = (stored[..., None] >> places) & 1
        return bits.flatten(-2).float().expand(-1, _NUM_COLOURS, -1, -1)
