"""Numbers (sizes, crop corners) as sinusoidal embeddings, as Stable Diffusion XL is told them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from engine.nn.embeddings import sinusoidal_embedding
from engine.training.context import BuildContext
from engine.training.embedders.embedder import Embedder, read_key, without_dropped

__all__ = ["SizeEmbedder", "SizeRecipe"]


@dataclass(frozen=True, slots=True)
class SizeRecipe:
    """input_key: original_size, crop_top_left or target_size. width: of each number's embedding."""

    kind: Literal["size"]
    input_key: str
    width: int = 256
    ucg_rate: float = 0.0

    def build(self, context: BuildContext, part: str) -> SizeEmbedder:
        """The embedder; it has no weights."""
        return SizeEmbedder(self)


class SizeEmbedder(Embedder):
    """Source: Podell et al. 2023, arXiv:2307.01952, section 2.2."""

    def __init__(self, recipe: SizeRecipe) -> None:
        super().__init__(recipe.input_key, recipe.ucg_rate, is_trainable=False)
        self.width = recipe.width

    def forward(self, batch: Mapping[str, Any], dropped: Tensor | None, device: torch.device) -> tuple[Tensor, ...]:
        """One vector [b n·width] of the n numbers of each example, in their order."""
        numbers = torch.as_tensor(read_key(batch, self.input_key)).to(device, torch.float32, non_blocking=True)
        numbers = numbers.reshape(numbers.shape[0], -1)
        embedded = sinusoidal_embedding(numbers.reshape(-1), self.width).view(numbers.shape[0], -1)
        return (without_dropped(embedded, dropped),)
