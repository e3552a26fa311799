"""One learned vector for each class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from engine.nn.layers import Embedding
from engine.training.context import BuildContext
from engine.training.embedders.embedder import Embedder, read_key, without_dropped
from engine.training.networks.initialisation import initialise

__all__ = ["ClassEmbedder", "ClassRecipe"]


@dataclass(frozen=True, slots=True)
class ClassRecipe:
    """as_token: the vector becomes a context of one token. ucg_value: class that stands for "none"; None for zeros."""

    kind: Literal["class"]
    num_classes: int
    width: int
    input_key: str = "class"
    ucg_rate: float = 0.0
    ucg_value: int | None = None
    as_token: bool = False
    is_trainable: bool = True

    def build(self, context: BuildContext, part: str) -> ClassEmbedder:
        """The embedder with its first weights."""
        return ClassEmbedder(self, context.seed, part)


class ClassEmbedder(Embedder):
    """Keys: table.weight."""

    def __init__(self, recipe: ClassRecipe, seed: int, part: str) -> None:
        super().__init__(recipe.input_key, recipe.ucg_rate, recipe.is_trainable)
        self.recipe = recipe
        self.table = Embedding(recipe.num_classes, recipe.width)
        initialise(self, seed, part)

    def forward(self, batch: Mapping[str, Any], dropped: Tensor | None, device: torch.device) -> tuple[Tensor, ...]:
        """A vector [b k], or a context [b 1 k]."""
        labels = torch.as_tensor(read_key(batch, self.input_key)).to(device, torch.int64, non_blocking=True)
        if self.recipe.ucg_value is not None and dropped is not None:
            labels = labels.masked_fill(dropped, self.recipe.ucg_value)
            dropped = None
        vectors = without_dropped(self.table(labels), dropped)
        return (vectors[:, None] if self.recipe.as_token else vectors,)
