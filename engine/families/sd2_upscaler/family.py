"""The Stable Diffusion x4 upscaler as a family: opens its checkpoints as MODEL, CLIP and VAE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from engine.diffusion.latent_format import LatentFormat
from engine.diffusion.parameterization import Parameterization
from engine.diffusion.prediction import EpsPrediction, VPrediction
from engine.diffusion.sigma_table import DiscreteSigmaTable, scaled_linear_betas
from engine.families.adapters.text_names import TextNames
from engine.families.contract import FamilyMatch, FamilyServices, OpenedCheckpoint
from engine.families.sd2_upscaler.config import TEXT_PREFIX, UpscalerConfig
from engine.families.sd2_upscaler.detect import FAMILY, detect
from engine.families.sd2_upscaler.small_picture import BETA_RANGE, AugmentationLevel, SmallPicture
from engine.families.text.clip_form import CLIP_H
from engine.families.unet.form import UNetForm
from engine.families.unet.opening import TextPart, UNetPart, open_unet_checkpoint
from engine.weights.checkpoint import Checkpoint

__all__ = ["UpscalerFamily", "family"]

_LATENTS = LatentFormat(name="sd2_upscaler", num_channels=4, downscale=4, scale=0.08333)
_TEXT_KIND = replace(CLIP_H, adapter_names=TextNames(flat=("lora_te_",), dotted=("text_encoder.",)))
_HARMLESS = (r"low_scale_model\..*",)
"""The schedule of the noise on small pictures, which is computed."""


@dataclass(frozen=True, slots=True)
class UpscalerFamily:
    """The published network and its fine-tunes."""

    name: str = FAMILY

    def detect(self, shapes: Mapping[str, tuple[int, ...]]) -> FamilyMatch | None:
        """Recognise a file by its keys and shapes."""
        return detect(shapes)

    def open(self, checkpoint: Checkpoint, match: FamilyMatch, services: FamilyServices) -> OpenedCheckpoint:
        """Handles for the parts of the file; all keys must be known."""
        config: UpscalerConfig = match.config
        level = AugmentationLevel(config.unet.num_classes or 0)
        form = UNetForm(config.unet, _LATENTS, level, concat_form=SmallPicture())
        predicts_noise = checkpoint.metadata.get("modelspec.prediction_type", "").lower() == "epsilon"
        table = DiscreteSigmaTable.from_betas(scaled_linear_betas(1000, *BETA_RANGE))
        noise = Parameterization(EpsPrediction() if predicts_noise else VPrediction(), table)
        unet = UNetPart(config.unet_prefix, form, noise)
        texts = [] if config.text is None else [TextPart(TEXT_PREFIX, _TEXT_KIND, config.text)]
        return open_unet_checkpoint(checkpoint, FAMILY, unet, texts, config.autoencoder, services, _HARMLESS)


def family() -> UpscalerFamily:
    """The family, for the registry."""
    return UpscalerFamily()
