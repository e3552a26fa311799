"""Stable Diffusion XL as a family: opens its checkpoints as MODEL, CLIP and VAE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.families.contract import FamilyMatch, FamilyServices, OpenedCheckpoint
from engine.families.denoiser import NetworkDenoiser
from engine.families.published_form import PublishedForm, TextForm
from engine.families.sdxl.config import SdxlConfig
from engine.families.sdxl.detect import FAMILY, detect
from engine.families.sdxl.network import MARKS, latent_format, parameterization
from engine.families.sdxl.text import FIRST_KIND, FIRST_PREFIX, SECOND_KIND, SECOND_PREFIX
from engine.families.sdxl.vector import SizeVector
from engine.families.text.clip_pair import ClipPair
from engine.families.text.opening import CLIP_G_WIDTH, CLIP_H_WIDTH, clip_width, open_clip_file
from engine.families.unet.form import UNET_SUFFIXES, UNetForm
from engine.families.unet.marks import prediction_marks
from engine.families.unet.opening import TextPart, UNetPart, open_unet_checkpoint
from engine.weights.checkpoint import Checkpoint

__all__ = ["SdxlFamily", "family"]


@dataclass(frozen=True, slots=True)
class SdxlFamily:
    """Versions 0.9 and 1.0, Turbo, pruned and fine-tuned networks of any prediction, inpainting and editing."""

    name: str = FAMILY

    @property
    def published(self) -> PublishedForm:
        """How its checkpoints look."""
        texts = {FIRST_KIND.key: TextForm(FIRST_PREFIX), SECOND_KIND.key: TextForm(SECOND_PREFIX, is_open_clip=True)}
        return PublishedForm(_architecture, prediction_marks, texts)

    def detect(self, shapes: Mapping[str, tuple[int, ...]]) -> FamilyMatch | None:
        """Recognise a file by its keys and shapes."""
        return detect(shapes)

    def open(self, checkpoint: Checkpoint, match: FamilyMatch, services: FamilyServices) -> OpenedCheckpoint:
        """Handles for the parts of the file; all keys must be known."""
        config: SdxlConfig = match.config
        latents, noise = latent_format(checkpoint), parameterization(checkpoint)
        vector = SizeVector(config.unet.vector_width or 0, latents.downscale)
        # Editing networks trained over continuous levels see the picture at network scale, the others do not.
        form = UNetForm(config.unet, latents, vector, shows_scaled="edm_vpred.sigma_max" in checkpoint.tensors)
        texts: list[TextPart] = []
        if config.text is not None:
            first, second = config.text
            texts = [TextPart(FIRST_PREFIX, FIRST_KIND, first), TextPart(SECOND_PREFIX, SECOND_KIND, second)]
        unet = UNetPart(config.unet_prefix, form, noise)
        return open_unet_checkpoint(checkpoint, FAMILY, unet, texts, config.autoencoder, services, MARKS)

    def open_text(self, files: Sequence[Checkpoint], services: FamilyServices) -> ClipPair | None:
        """CLIP L and ViT-bigG, in either order."""
        if len(files) != 2:
            return None
        first, second = sorted(files, key=lambda file: clip_width(file) == CLIP_G_WIDTH)
        if clip_width(first) in (None, CLIP_H_WIDTH, CLIP_G_WIDTH) or clip_width(second) != CLIP_G_WIDTH:
            return None
        one = open_clip_file(first, FAMILY, FIRST_KIND, services)
        two = open_clip_file(second, FAMILY, SECOND_KIND, services)
        return None if one is None or two is None else ClipPair(one, two)


def family() -> SdxlFamily:
    """The family, for the registry."""
    return SdxlFamily()


def _architecture(model: NetworkDenoiser) -> str:
    """Its name in ModelSpec."""
    return f"stable-diffusion-xl-v1{UNET_SUFFIXES[model.in_channels] or '-base'}"
