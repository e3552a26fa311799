"""Stable Diffusion XL as a family: opens its checkpoints as MODEL, CLIP and VAE."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from engine.families.autoencoder.handle import NetworkAutoencoder
from engine.families.autoencoder.opening import open_kl_part
from engine.families.contract import FamilyMatch, FamilyServices, OpenedCheckpoint
from engine.families.sdxl.config import SdxlConfig
from engine.families.sdxl.detect import FAMILY, detect
from engine.families.sdxl.network import MARKS, latent_format, parameterization
from engine.families.sdxl.text import FIRST_KIND, FIRST_PREFIX, SECOND_KIND, SECOND_PREFIX
from engine.families.sdxl.vector import SizeVector
from engine.families.text.clip_pair import ClipPair
from engine.families.text.opening import (
    CLIP_G_WIDTH,
    CLIP_H_WIDTH,
    clip_width,
    open_clip_file,
    open_clip_part,
)
from engine.families.unet.form import UNetForm
from engine.families.unet.keys import HARMLESS_KEYS, ema_keys, harmless_text_keys
from engine.families.unet.opening import open_unet_part
from engine.weights.checkpoint import Checkpoint
from engine.weights.remap import WeightReader, refuse_unknown_keys

__all__ = ["SdxlFamily", "family"]


@dataclass(frozen=True, slots=True)
class SdxlFamily:
    """Versions 0.9 and 1.0, Turbo, pruned and fine-tuned networks of any prediction, inpainting and editing."""

    name: str = FAMILY

    def detect(self, shapes: Mapping[str, tuple[int, ...]]) -> FamilyMatch | None:
        """Recognise a file by its keys and shapes."""
        return detect(shapes)

    def open(self, checkpoint: Checkpoint, match: FamilyMatch, services: FamilyServices) -> OpenedCheckpoint:
        """Handles for the parts of the file; all keys must be known."""
        config: SdxlConfig = match.config

        def digest() -> str:
            return services.digest(checkpoint.path)

        latents, noise = latent_format(checkpoint), parameterization(checkpoint)
        vector = SizeVector(config.unet.vector_width or 0, latents.downscale)
        # Editing networks trained over continuous levels see the picture at network scale, the others do not.
        form = UNetForm(config.unet, latents, vector, shows_scaled="edm_vpred.sigma_max" in checkpoint.tensors)
        model, unet_reader = open_unet_part(checkpoint, config.unet_prefix, FAMILY, form, noise, services, digest)
        clip, text_readers = _open_text(checkpoint, config, services, digest)
        vae: NetworkAutoencoder | None = None
        readers = [unet_reader, *text_readers]
        if config.autoencoder is not None:
            vae, vae_reader = open_kl_part(checkpoint, "first_stage_model.", services.host("vae"), digest)
            readers.append(vae_reader)
        used = {key for reader in readers for key in reader.used_keys}
        harmless = (*HARMLESS_KEYS, *MARKS, *harmless_text_keys(FIRST_PREFIX, SECOND_PREFIX))
        refuse_unknown_keys(checkpoint, used | ema_keys(unet_reader.specs), harmless)
        return OpenedCheckpoint(FAMILY, model, clip, vae)

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


def _open_text(
    checkpoint: Checkpoint, config: SdxlConfig, services: FamilyServices, digest: Callable[[], str]
) -> tuple[ClipPair | None, list[WeightReader]]:
    if config.text is None:
        return None, []
    first, first_reader = open_clip_part(checkpoint, FIRST_PREFIX, FAMILY, FIRST_KIND, config.text[0], services, digest)
    second, second_reader = open_clip_part(
        checkpoint, SECOND_PREFIX, FAMILY, SECOND_KIND, config.text[1], services, digest
    )
    return ClipPair(first, second), [first_reader, second_reader]
