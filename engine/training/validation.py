"""How good a module is with pictures it does not learn from: figures and a grid to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from engine.training.data.batches import Batches
from engine.training.data.collate import Batch
from engine.training.data.recipe import SourceRecipe
from engine.training.data.source import OpenContext
from engine.training.picture_module import PictureModule, Validated
from engine.training.samples import save_grid

__all__ = ["Validation", "ValidationRecipe"]

_SEED = 0


@dataclass(frozen=True, slots=True)
class ValidationRecipe:
    """Every `every_steps` steps and at the end, the first `num` pictures of a source, always the same.

    source: pictures that the run does not learn from. batch_size: how many at once.
    num_shown: pictures of the grid, a few a row, each beside what the module makes of it.
    """

    source: SourceRecipe
    num: int = 32
    batch_size: int = 8
    every_steps: int = 500
    num_shown: int = 8

    def __post_init__(self) -> None:
        if min(self.num, self.batch_size, self.every_steps) < 1 or self.num_shown < 0:
            raise ValueError("num, batch_size and every_steps are at least 1, num_shown at least 0")


class Validation:
    """The opened source. Raises DataError when it cannot be read."""

    def __init__(self, recipe: ValidationRecipe, context: OpenContext) -> None:
        self._recipe = recipe
        self._context = replace(context, seed=_SEED)
        self._source = recipe.source.open(self._context)

    def batches(self, num: int | None = None) -> Iterator[Batch]:
        """The first `num` pictures, in batches; the recipe's number without one."""
        wanted = self._recipe.num if num is None else num
        size = min(self._recipe.batch_size, wanted)
        endless = iter(Batches(self._source, size, seed=_SEED, reports=self._context.reports))
        for first in range(0, wanted, size):
            batch = next(endless)
            count = min(size, wanted - first)
            yield {key: value[:count] if isinstance(value, Tensor | list) else value for key, value in batch.items()}

    def __call__(self, module: PictureModule, grid: Path) -> Mapping[str, float]:
        """Mean figures over all pictures; the grid is written to `grid`."""
        was_training = module.training
        module.eval()
        try:
            parts: list[Validated] = []
            for batch in self.batches():
                made = module.validate(batch)
                num_kept = max(0, self._recipe.num_shown - sum(len(part.pictures) for part in parts))
                figures = {name: values.float().cpu() for name, values in made.figures.items()}
                parts.append(Validated(figures, made.pictures[:num_kept].float().cpu()))
        finally:
            module.train(was_training)
        pictures = torch.cat([part.pictures for part in parts])
        if len(pictures):
            per_picture = pictures.shape[1]
            save_grid(pictures.flatten(0, 1), grid, per_picture * max(1, 6 // per_picture))
        return {
            f"validation_{name}": torch.cat([part.figures[name] for part in parts]).mean().item()
            for name in parts[0].figures
        }
