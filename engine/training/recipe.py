"""The root of a training configuration."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.training.data.recipe import DataRecipe
from engine.training.diffusion_recipe import DiffusionRecipe
from engine.training.ema import EmaRecipe
from engine.training.export import Sd1ExportRecipe
from engine.training.optimizer import OptimizerRecipe
from engine.training.samples import SamplesRecipe
from engine.training.trainer_recipe import TrainerRecipe

__all__ = ["ModelRecipe", "TrainingRecipe"]

ModelRecipe = DiffusionRecipe
"""Everything that can be trained from a recipe, told apart by `kind`."""


@dataclass(frozen=True, slots=True)
class TrainingRecipe:
    """A run is a function of this and the seed: the same recipe gives the same weights on the same kind of device.

    samples, export: None leaves them out. ema: None trains without a moving average.
    """

    model: ModelRecipe
    data: DataRecipe
    trainer: TrainerRecipe
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    ema: EmaRecipe | None = None
    samples: SamplesRecipe | None = None
    export: Sd1ExportRecipe | None = None
    seed: int = 0
