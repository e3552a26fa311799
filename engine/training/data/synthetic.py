"""Random examples of declared shapes: what tests of configurations train on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from engine.core.digest import digest_value
from engine.training.config.resolve import to_plain
from engine.training.data.collate import Example
from engine.training.data.place import Place
from engine.training.data.source import OpenContext
from engine.training.postcards.chance import Chance

__all__ = ["SyntheticField", "SyntheticRecipe", "SyntheticSource"]

_WORDS = ["red", "blue", "green", "house", "boat", "tree", "moon", "sea", "hill", "bird"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticField:
    """One key of the examples.

    values: "pixels" (uniform in [-1, 1]), "normal", "whole" (integers below `below`; a plain int without a shape) or
        "text" (a few words).
    """

    key: str
    values: Literal["pixels", "normal", "whole", "text"]
    shape: tuple[int, ...] = ()
    below: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticRecipe:
    """`num_items` examples with these fields; item n is always the same for the same seed."""

    kind: Literal["synthetic"] = "synthetic"
    fields: tuple[SyntheticField, ...]
    num_items: int = 64

    def __post_init__(self) -> None:
        if self.num_items < 1 or not self.fields:
            raise ValueError("a synthetic source needs at least one item and one field")

    def open(self, context: OpenContext) -> SyntheticSource:
        """The source; nothing can go wrong."""
        return SyntheticSource(self, context.seed)


class SyntheticSource:
    """The opened source."""

    def __init__(self, recipe: SyntheticRecipe, seed: int) -> None:
        self.digest = digest_value([to_plain(recipe), seed])
        self._recipe = recipe
        self._seed = seed

    def __len__(self) -> int:
        return self._recipe.num_items

    def __getitem__(self, place: Place) -> Example:
        return {field.key: self._value(field, place.index) for field in self._recipe.fields}

    def _value(self, field: SyntheticField, index: int) -> Any:
        chance = Chance("synthetic", self._seed, field.key, index)
        if field.values == "text":
            return " ".join(chance.pick(_WORDS) for _ in range(4))
        if field.values == "whole" and not field.shape:
            return chance.below(field.below)
        generator = torch.Generator().manual_seed(chance.bits() >> 1)
        if field.values == "whole":
            return torch.randint(field.below, field.shape, generator=generator)
        if field.values == "normal":
            return torch.randn(field.shape, generator=generator)
        return torch.rand(field.shape, generator=generator) * 2 - 1
