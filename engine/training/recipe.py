"""The root of a training configuration."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.training.adapters.fine_tune import CheckpointExportRecipe, FineTuneRecipe
from engine.training.adapters.lora_recipe import LoraExportRecipe, LoraRecipe
from engine.training.adapters.textual_inversion import EmbeddingExportRecipe, TextualInversionRecipe
from engine.training.data.recipe import DataRecipe
from engine.training.diffusion_recipe import DiffusionRecipe
from engine.training.ema import EmaRecipe
from engine.training.export import Sd1ExportRecipe
from engine.training.optimizer import OptimizerRecipe
from engine.training.samples import SamplesRecipe
from engine.training.trainer_recipe import TrainerRecipe

__all__ = ["ExportRecipe", "ModelRecipe", "TrainingRecipe"]

ModelRecipe = DiffusionRecipe | LoraRecipe | TextualInversionRecipe | FineTuneRecipe
"""Everything that can be trained from a recipe, told apart by `kind`."""

ExportRecipe = Sd1ExportRecipe | LoraExportRecipe | EmbeddingExportRecipe | CheckpointExportRecipe
"""Every form a finished run can be written in, told apart by `kind`."""


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
    export: ExportRecipe | None = None
    seed: int = 0
