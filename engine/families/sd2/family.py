"""Stable Diffusion 2 as a family: opens its checkpoints as MODEL, CLIP and VAE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.diffusion.prediction import VPrediction
from engine.families.contract import FamilyMatch, FamilyServices, OpenedCheckpoint
from engine.families.denoiser import NetworkDenoiser
from engine.families.published_form import PublishedForm, TextForm
from engine.families.sd2.config import TEXT_PREFIX, Sd2Config
from engine.families.sd2.detect import FAMILY, detect
from engine.families.sd2.network import TEXT_KIND, parameterization
from engine.families.sd2.prediction import predicts_v
from engine.families.text.clip_encoder import ClipTextEncoder
from engine.families.text.opening import CLIP_H_WIDTH, clip_width, open_clip_file
from engine.families.unet.form import UNET_SUFFIXES, UNetForm
from engine.families.unet.latents import SD_LATENTS
from engine.families.unet.marks import ZERO_TERMINAL_MARK, prediction_marks, with_marked_levels
from engine.families.unet.opening import TextPart, UNetPart, open_unet_checkpoint
from engine.weights.checkpoint import Checkpoint

__all__ = ["Sd2Family", "family"]


@dataclass(frozen=True, slots=True)
class Sd2Family:
    """Versions 2.0 and 2.1 for 512 and 768 pixels, inpainting, SD-Turbo and their fine-tunes."""

    name: str = FAMILY

    @property
    def published(self) -> PublishedForm:
        """How its checkpoints look."""
        return PublishedForm(_architecture, prediction_marks, {TEXT_KIND.key: TextForm(TEXT_PREFIX, is_open_clip=True)})

    def detect(self, shapes: Mapping[str, tuple[int, ...]]) -> FamilyMatch | None:
        """Recognise a file by its keys and shapes."""
        return detect(shapes)

    def open(self, checkpoint: Checkpoint, match: FamilyMatch, services: FamilyServices) -> OpenedCheckpoint:
        """Handles for the parts of the file; all keys must be known."""
        config: Sd2Config = match.config
        is_v = predicts_v(checkpoint, config.unet_prefix, config.unet.in_channels)
        noise = with_marked_levels(parameterization(is_v), checkpoint)
        unet = UNetPart(config.unet_prefix, UNetForm(config.unet, SD_LATENTS), noise)
        texts = [] if config.text is None else [TextPart(config.text_prefix, TEXT_KIND, config.text)]
        return open_unet_checkpoint(
            checkpoint, FAMILY, unet, texts, config.autoencoder, services, (ZERO_TERMINAL_MARK,)
        )

    def open_text(self, files: Sequence[Checkpoint], services: FamilyServices) -> ClipTextEncoder | None:
        """ViT-H alone."""
        if len(files) != 1 or clip_width(files[0]) != CLIP_H_WIDTH:
            return None
        return open_clip_file(files[0], FAMILY, TEXT_KIND, services)


def family() -> Sd2Family:
    """The family, for the registry."""
    return Sd2Family()


def _architecture(model: NetworkDenoiser) -> str:
    """Its name in ModelSpec, which tells the published networks of 512 pixels from those of 768 that predict v."""
    size = "768-v" if isinstance(model.parameterization.prediction, VPrediction) else "512"
    return f"stable-diffusion-v2-{size}{UNET_SUFFIXES[model.in_channels]}"
