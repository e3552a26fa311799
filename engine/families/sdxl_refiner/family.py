"""The XL refiner as a family: opens its checkpoints as MODEL, CLIP and VAE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from engine.diffusion.parameterization import Parameterization
from engine.diffusion.prediction import EpsPrediction
from engine.families.contract import FamilyMatch, FamilyServices, OpenedCheckpoint
from engine.families.denoiser import NetworkDenoiser
from engine.families.published_form import PublishedForm, TextForm
from engine.families.sdxl_refiner.config import RefinerConfig
from engine.families.sdxl_refiner.detect import FAMILY, detect
from engine.families.sdxl_refiner.text import TEXT_KIND, TEXT_PREFIX
from engine.families.sdxl_refiner.vector import AestheticVector
from engine.families.text.clip_encoder import ClipTextEncoder
from engine.families.text.opening import CLIP_G_WIDTH, clip_width, open_clip_file
from engine.families.unet.form import UNetForm
from engine.families.unet.latents import XL_LATENTS, thousand_steps
from engine.families.unet.marks import prediction_marks
from engine.families.unet.opening import TextPart, UNetPart, open_unet_checkpoint
from engine.weights.checkpoint import Checkpoint

__all__ = ["RefinerFamily", "family"]


@dataclass(frozen=True, slots=True)
class RefinerFamily:
    """Versions 0.9 and 1.0 and their fine-tunes."""

    name: str = FAMILY

    @property
    def published(self) -> PublishedForm:
        """How its checkpoints look."""
        texts = {TEXT_KIND.key: TextForm(TEXT_PREFIX, is_open_clip=True)}
        return PublishedForm(lambda model: "stable-diffusion-xl-v1-refiner", _marks, texts)

    def detect(self, shapes: Mapping[str, tuple[int, ...]]) -> FamilyMatch | None:
        """Recognise a file by its keys and shapes."""
        return detect(shapes)

    def open(self, checkpoint: Checkpoint, match: FamilyMatch, services: FamilyServices) -> OpenedCheckpoint:
        """Handles for the parts of the file; all keys must be known."""
        config: RefinerConfig = match.config
        vector = AestheticVector(config.unet.vector_width or 0, XL_LATENTS.downscale)
        noise = Parameterization(EpsPrediction(), thousand_steps())
        unet = UNetPart(config.unet_prefix, UNetForm(config.unet, XL_LATENTS, vector), noise)
        texts = [] if config.text is None else [TextPart(TEXT_PREFIX, TEXT_KIND, config.text)]
        return open_unet_checkpoint(checkpoint, FAMILY, unet, texts, config.autoencoder, services)

    def open_text(self, files: Sequence[Checkpoint], services: FamilyServices) -> ClipTextEncoder | None:
        """ViT-bigG alone."""
        if len(files) != 1 or clip_width(files[0]) != CLIP_G_WIDTH:
            return None
        return open_clip_file(files[0], FAMILY, TEXT_KIND, services)


def family() -> RefinerFamily:
    """The family, for the registry."""
    return RefinerFamily()


def _marks(model: NetworkDenoiser) -> dict[str, Tensor] | None:
    """None but for the usual prediction: this family's files have no marks."""
    marks = prediction_marks(model)
    return None if marks else marks
