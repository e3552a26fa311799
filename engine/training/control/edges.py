"""Edges of the picture itself, as the picture a control network is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from engine.training.context import BuildContext
from engine.training.embedders.embedder import Embedder, read_key

__all__ = ["CannyEdges", "CannyRecipe"]

_NUM_COLOURS = 3


@dataclass(frozen=True, slots=True)
class CannyRecipe:
    """White edges on black, as the Canny node finds them with these thresholds."""

    kind: Literal["canny"] = "canny"
    input_key: str = "image"
    low_threshold: float = 0.1
    high_threshold: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.low_threshold <= self.high_threshold < 1:
            raise ValueError("low_threshold is above 0 and not above high_threshold, which is below 1")

    def build(self, context: BuildContext, part: str) -> CannyEdges:
        """The embedder; it has no weights."""
        return CannyEdges(self)


class CannyEdges(Embedder):
    """Source: Canny 1986, "A computational approach to edge detection"."""

    def __init__(self, recipe: CannyRecipe) -> None:
        super().__init__(recipe.input_key, 0.0, False)
        self.recipe = recipe

    def forward(self, batch: Mapping[str, Any], dropped: Tensor | None, device: torch.device) -> tuple[Tensor, ...]:
        """[b 3 h w] in [0, 1], of pictures [b c h w] in [-1, 1]."""
        from kornia.filters import canny  # takes a second to import, and few runs need it

        pixels = read_key(batch, self.input_key).to(device, torch.float32, non_blocking=True)
        _, edges = canny((pixels + 1) / 2, self.recipe.low_threshold, self.recipe.high_threshold)
        return (edges.expand(-1, _NUM_COLOURS, -1, -1),)
