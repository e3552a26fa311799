"""Stable Diffusion 2.1 unCLIP as a family: opens its checkpoints as MODEL, CLIP, VAE and CLIP_VISION."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from engine.core.errors import CheckpointError
from engine.diffusion.parameterization import Parameterization
from engine.diffusion.prediction import EpsPrediction, VPrediction
from engine.families.adapters.text_names import TextNames
from engine.families.contract import FamilyMatch, FamilyServices, OpenedCheckpoint
from engine.families.sd2_unclip.config import EMBEDDER_PREFIX, TEXT_PREFIX, UnclipConfig
from engine.families.sd2_unclip.detect import FAMILY, detect
from engine.families.sd2_unclip.vector import ImageVector
from engine.families.text.clip_form import CLIP_H
from engine.families.unet.form import UNetForm
from engine.families.unet.latents import SD_LATENTS, thousand_steps
from engine.families.unet.opening import TextPart, UNetPart, open_unet_checkpoint
from engine.families.vision.opening import open_vision_part
from engine.weights.checkpoint import Checkpoint

__all__ = ["UnclipFamily", "family"]

_TEXT_KIND = replace(CLIP_H, adapter_names=TextNames(flat=("lora_te_",), dotted=("text_encoder.",)))
_STATISTICS = ("noise_augmentor.data_mean", "noise_augmentor.data_std")
_HARMLESS = (r"noise_augmentor\..*", r"embedder\.model\.(?!visual\.).*")
"""The schedule of the noise on embeddings, which is computed; the text half of the image encoder."""


@dataclass(frozen=True, slots=True)
class UnclipFamily:
    """The two published networks, for embeddings of CLIP H and CLIP L, and their fine-tunes."""

    name: str = FAMILY

    def detect(self, shapes: Mapping[str, tuple[int, ...]]) -> FamilyMatch | None:
        """Recognise a file by its keys and shapes."""
        return detect(shapes)

    def open(self, checkpoint: Checkpoint, match: FamilyMatch, services: FamilyServices) -> OpenedCheckpoint:
        """Handles for the parts of the file; all keys must be known."""
        config: UnclipConfig = match.config
        vision = open_vision_part(
            checkpoint, EMBEDDER_PREFIX, services.host("text_encoder"), lambda: services.digest(checkpoint.path)
        )
        if vision is None:
            raise CheckpointError(f"{checkpoint.path.name} holds no image encoder.", code="checkpoint_keys")
        handle, reader = vision
        form = UNetForm(config.unet, SD_LATENTS, _vector(checkpoint, config.unet.vector_width or 0))
        predicts_noise = checkpoint.metadata.get("modelspec.prediction_type", "").lower() == "epsilon"
        noise = Parameterization(EpsPrediction() if predicts_noise else VPrediction(), thousand_steps())
        unet = UNetPart(config.unet_prefix, form, noise)
        texts = [] if config.text is None else [TextPart(TEXT_PREFIX, _TEXT_KIND, config.text)]
        opened = open_unet_checkpoint(
            checkpoint, FAMILY, unet, texts, config.autoencoder, services, _HARMLESS, reader.used_keys
        )
        return replace(opened, vision=handle)


def family() -> UnclipFamily:
    """The family, for the registry."""
    return UnclipFamily()


def _vector(checkpoint: Checkpoint, width: int) -> ImageVector:
    """With the file's statistics of embeddings, if it has them."""
    if any(key not in checkpoint.tensors for key in _STATISTICS):
        return ImageVector(width)
    means, deviations = (tuple(float(number) for number in checkpoint.tensor(key).flatten()) for key in _STATISTICS)
    return ImageVector(width, means, deviations)
