"""Squares of the picture's own colours, as the picture a control network is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from engine.imaging import color_cells
from engine.training.config.error import ConfigError
from engine.training.context import BuildContext
from engine.training.control.hint import ShownHint

__all__ = ["ColourCellsRecipe"]


@dataclass(frozen=True, slots=True)
class ColourCellsRecipe:
    """Squares of one colour each, as the ColorCells node makes them, `cell_px` wide; they divide the picture evenly.

    Source: Mou et al. 2023, arXiv:2302.08453, section 3.3 (the colour adapter).
    """

    kind: Literal["colour_cells"]
    input_key: str = "image"
    cell_px: int = 16

    def __post_init__(self) -> None:
        if self.cell_px < 2:
            raise ValueError("cell_px is at least 2")

    def build(self, context: BuildContext, part: str) -> ShownHint:
        """The embedder; it has no weights."""
        return ShownHint(self)

    def hint(self, pixels: Tensor) -> Tensor:
        """Pictures [b 3 h w] in [-1, 1] → squares of colour [b 3 h w] in [0, 1]. Raises ConfigError for other sizes."""
        if any(side % self.cell_px for side in pixels.shape[2:]):
            raise ConfigError(
                f"Squares of {self.cell_px} pixels do not divide pictures of {list(pixels.shape[2:])}.",
                hint="Change model.hint.cell_px or the size of the pictures.",
            )
        image = ((pixels + 1) / 2).clamp(0, 1).movedim(1, 3)
        return color_cells(image, self.cell_px).movedim(3, 1)

    def packed(self, hint: Tensor) -> np.ndarray:
        """A value a square and colour: uint8 [b 3 h/cell_px w/cell_px]."""
        corners = hint[:, :, :: self.cell_px, :: self.cell_px]
        return corners.mul(255).round().to("cpu", torch.uint8).numpy()

    def unpacked(self, stored: Tensor) -> Tensor:
        """[b 3 h w] in [0, 1]."""
        colours = stored.float() / 255
        return colours.repeat_interleave(self.cell_px, dim=2).repeat_interleave(self.cell_px, dim=3)
