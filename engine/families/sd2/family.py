"""Stable Diffusion 2 as a family: opens its checkpoints as MODEL, CLIP and VAE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.families.autoencoder.handle import NetworkAutoencoder
from engine.families.autoencoder.opening import open_kl_part
from engine.families.contract import FamilyMatch, FamilyServices, OpenedCheckpoint
from engine.families.sd2.config import Sd2Config
from engine.families.sd2.detect import FAMILY, detect
from engine.families.sd2.network import TEXT_KIND, parameterization
from engine.families.sd2.prediction import predicts_v
from engine.families.text.clip_encoder import ClipTextEncoder
from engine.families.text.opening import CLIP_H_WIDTH, clip_width, open_clip_file, open_clip_part
from engine.families.unet.form import UNetForm
from engine.families.unet.keys import HARMLESS_KEYS, ema_keys, harmless_text_keys
from engine.families.unet.latents import SD_LATENTS
from engine.families.unet.opening import open_unet_part
from engine.weights.checkpoint import Checkpoint
from engine.weights.remap import WeightReader, refuse_unknown_keys

__all__ = ["Sd2Family", "family"]


@dataclass(frozen=True, slots=True)
class Sd2Family:
    """Versions 2.0 and 2.1 for 512 and 768 pixels, inpainting, SD-Turbo and their fine-tunes."""

    name: str = FAMILY

    def detect(self, shapes: Mapping[str, tuple[int, ...]]) -> FamilyMatch | None:
        """Recognise a file by its keys and shapes."""
        return detect(shapes)

    def open(self, checkpoint: Checkpoint, match: FamilyMatch, services: FamilyServices) -> OpenedCheckpoint:
        """Handles for the parts of the file; all keys must be known."""
        config: Sd2Config = match.config

        def digest() -> str:
            return services.digest(checkpoint.path)

        form = UNetForm(config.unet, SD_LATENTS)
        noise = parameterization(predicts_v(checkpoint, config.unet_prefix, config.unet.in_channels))
        model, unet_reader = open_unet_part(checkpoint, config.unet_prefix, FAMILY, form, noise, services, digest)
        readers: list[WeightReader] = [unet_reader]
        clip: ClipTextEncoder | None = None
        if config.text is not None:
            clip, text_reader = open_clip_part(
                checkpoint, config.text_prefix, FAMILY, TEXT_KIND, config.text, services, digest
            )
            readers.append(text_reader)
        vae: NetworkAutoencoder | None = None
        if config.autoencoder is not None:
            vae, vae_reader = open_kl_part(checkpoint, "first_stage_model.", services.host("vae"), digest)
            readers.append(vae_reader)
        used = {key for reader in readers for key in reader.used_keys}
        harmless = (*HARMLESS_KEYS, *harmless_text_keys(config.text_prefix))
        refuse_unknown_keys(checkpoint, used | ema_keys(unet_reader.specs), harmless)
        return OpenedCheckpoint(FAMILY, model, clip, vae)

    def open_text(self, files: Sequence[Checkpoint], services: FamilyServices) -> ClipTextEncoder | None:
        """ViT-H alone."""
        if len(files) != 1 or clip_width(files[0]) != CLIP_H_WIDTH:
            return None
        return open_clip_file(files[0], FAMILY, TEXT_KIND, services)


def family() -> Sd2Family:
    """The family, for the registry."""
    return Sd2Family()
