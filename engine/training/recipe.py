"""The root of a training configuration."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.training.adapters.checkpoint_export import CheckpointExportRecipe
from engine.training.adapters.fine_tune import FineTuneRecipe
from engine.training.adapters.lora_recipe import LoraExportRecipe, LoraRecipe
from engine.training.adapters.textual_inversion import EmbeddingExportRecipe, TextualInversionRecipe
from engine.training.autoencoder.decoder import DecoderRecipe
from engine.training.autoencoder.recipe import AutoencoderRecipe
from engine.training.caption_reader.recipe import CaptionReaderRecipe
from engine.training.control.recipe import ControlExportRecipe, ControlNetRecipe
from engine.training.data.recipe import DataRecipe
from engine.training.diffusion_recipe import DiffusionRecipe
from engine.training.ema import EmaRecipe
from engine.training.export import Sd1ExportRecipe
from engine.training.inpainting.recipe import InpaintingRecipe
from engine.training.network_export import NetworkExportRecipe
from engine.training.optimizer import OptimizerRecipe
from engine.training.preview_decoder import PreviewDecoderRecipe
from engine.training.samples import SamplesRecipe
from engine.training.trainer_recipe import TrainerRecipe
from engine.training.upscaler import UpscalerRecipe
from engine.training.validation import ValidationRecipe

__all__ = ["ExportRecipe", "ModelRecipe", "PictureModelRecipe", "TrainingRecipe"]

PictureModelRecipe = AutoencoderRecipe | DecoderRecipe | PreviewDecoderRecipe | UpscalerRecipe | CaptionReaderRecipe
"""What learns from pictures alone; such a model is validated, where a diffusion model draws samples."""

ModelRecipe = (
    DiffusionRecipe
    | LoraRecipe
    | TextualInversionRecipe
    | FineTuneRecipe
    | InpaintingRecipe
    | ControlNetRecipe
    | PictureModelRecipe
)
"""Everything that can be trained from a recipe, told apart by `kind`."""

ExportRecipe = (
    Sd1ExportRecipe
    | LoraExportRecipe
    | EmbeddingExportRecipe
    | CheckpointExportRecipe
    | ControlExportRecipe
    | NetworkExportRecipe
)
"""Every form a finished run can be written in, told apart by `kind`."""


@dataclass(frozen=True, slots=True)
class TrainingRecipe:
    """A run is a function of this and the seed: the same recipe gives the same weights on the same kind of device.

    samples, validation, export: None leaves them out. ema: None trains without a moving average.
    """

    model: ModelRecipe
    data: DataRecipe
    trainer: TrainerRecipe
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    ema: EmaRecipe | None = None
    samples: SamplesRecipe | None = None
    validation: ValidationRecipe | None = None
    export: ExportRecipe | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        is_of_pictures = isinstance(self.model, PictureModelRecipe)
        if is_of_pictures and self.samples is not None:
            raise ValueError(
                f"samples are drawn from diffusion models; a model of kind {self.model.kind} has validation"
            )
        if not is_of_pictures and self.validation is not None:
            raise ValueError(f"validation is for models of pictures; a model of kind {self.model.kind} has samples")
        if self.export is not None and is_of_pictures != isinstance(self.export, NetworkExportRecipe):
            raise ValueError(f"a model of kind {self.model.kind} is not exported as {self.export.kind}")
