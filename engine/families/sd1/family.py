"""Stable Diffusion 1.x as a family: opens its checkpoints as MODEL, CLIP and VAE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.families.autoencoder.handle import NetworkAutoencoder
from engine.families.autoencoder.opening import open_kl_part
from engine.families.contract import FamilyMatch, FamilyServices, OpenedCheckpoint
from engine.families.sd1.config import Sd1Config
from engine.families.sd1.detect import FAMILY, detect
from engine.families.sd1.keys import HARMLESS_KEYS, TEXT_PREFIX
from engine.families.sd1.network import LATENT_FORMAT, parameterization
from engine.families.sd1.text import TEXT_KIND
from engine.families.text.clip_encoder import ClipTextEncoder
from engine.families.text.opening import CLIP_G_WIDTH, CLIP_H_WIDTH, clip_width, open_clip_file, open_clip_part
from engine.families.unet.form import UNetForm
from engine.families.unet.keys import ema_keys
from engine.families.unet.opening import open_unet_part
from engine.weights.checkpoint import Checkpoint
from engine.weights.remap import WeightReader, refuse_unknown_keys

__all__ = ["Sd1Family", "family"]


@dataclass(frozen=True, slots=True)
class Sd1Family:
    """Versions 1.1 to 1.5, their fine-tunes, inpainting and instructed editing."""

    name: str = FAMILY

    def detect(self, shapes: Mapping[str, tuple[int, ...]]) -> FamilyMatch | None:
        """Recognise a file by its keys and shapes."""
        return detect(shapes)

    def open(self, checkpoint: Checkpoint, match: FamilyMatch, services: FamilyServices) -> OpenedCheckpoint:
        """Handles for the parts of the file; all keys must be known."""
        config: Sd1Config = match.config

        def digest() -> str:
            return services.digest(checkpoint.path)

        form = UNetForm(config.unet, LATENT_FORMAT)
        noise = parameterization(config.predicts_v)
        model, unet_reader = open_unet_part(checkpoint, config.unet_prefix, FAMILY, form, noise, services, digest)
        clip: ClipTextEncoder | None = None
        text_reader: WeightReader | None = None
        if config.text is not None:
            clip, text_reader = open_clip_part(
                checkpoint, TEXT_PREFIX, FAMILY, TEXT_KIND, config.text, services, digest
            )
        vae: NetworkAutoencoder | None = None
        vae_reader: WeightReader | None = None
        if config.autoencoder is not None:
            vae, vae_reader = open_kl_part(checkpoint, "first_stage_model.", services.host("vae"), digest)
        used = {
            key for reader in (unet_reader, text_reader, vae_reader) if reader is not None for key in reader.used_keys
        }
        refuse_unknown_keys(checkpoint, used | ema_keys(unet_reader.specs), HARMLESS_KEYS)
        return OpenedCheckpoint(FAMILY, model, clip, vae)

    def open_text(self, files: Sequence[Checkpoint], services: FamilyServices) -> ClipTextEncoder | None:
        """CLIP L alone."""
        if len(files) != 1 or clip_width(files[0]) in (None, CLIP_H_WIDTH, CLIP_G_WIDTH):
            return None
        return open_clip_file(files[0], FAMILY, TEXT_KIND, services)


def family() -> Sd1Family:
    """The family, for the registry."""
    return Sd1Family()
