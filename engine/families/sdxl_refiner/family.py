"""The XL refiner as a family: opens its checkpoints as MODEL, CLIP and VAE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.diffusion.parameterization import Parameterization
from engine.diffusion.prediction import EpsPrediction
from engine.families.autoencoder.handle import NetworkAutoencoder
from engine.families.autoencoder.opening import open_kl_part
from engine.families.contract import FamilyMatch, FamilyServices, OpenedCheckpoint
from engine.families.sdxl_refiner.config import RefinerConfig
from engine.families.sdxl_refiner.detect import FAMILY, detect
from engine.families.sdxl_refiner.text import TEXT_KIND, TEXT_PREFIX
from engine.families.sdxl_refiner.vector import AestheticVector
from engine.families.text.clip_encoder import ClipTextEncoder
from engine.families.text.opening import CLIP_G_WIDTH, clip_width, open_clip_file, open_clip_part
from engine.families.unet.form import UNetForm
from engine.families.unet.keys import HARMLESS_KEYS, ema_keys, harmless_text_keys
from engine.families.unet.latents import XL_LATENTS, thousand_steps
from engine.families.unet.opening import open_unet_part
from engine.weights.checkpoint import Checkpoint
from engine.weights.remap import WeightReader, refuse_unknown_keys

__all__ = ["RefinerFamily", "family"]


@dataclass(frozen=True, slots=True)
class RefinerFamily:
    """Versions 0.9 and 1.0 and their fine-tunes."""

    name: str = FAMILY

    def detect(self, shapes: Mapping[str, tuple[int, ...]]) -> FamilyMatch | None:
        """Recognise a file by its keys and shapes."""
        return detect(shapes)

    def open(self, checkpoint: Checkpoint, match: FamilyMatch, services: FamilyServices) -> OpenedCheckpoint:
        """Handles for the parts of the file; all keys must be known."""
        config: RefinerConfig = match.config

        def digest() -> str:
            return services.digest(checkpoint.path)

        vector = AestheticVector(config.unet.vector_width or 0, XL_LATENTS.downscale)
        form = UNetForm(config.unet, XL_LATENTS, vector)
        noise = Parameterization(EpsPrediction(), thousand_steps())
        model, unet_reader = open_unet_part(checkpoint, config.unet_prefix, FAMILY, form, noise, services, digest)
        readers: list[WeightReader] = [unet_reader]
        clip: ClipTextEncoder | None = None
        if config.text is not None:
            clip, text_reader = open_clip_part(
                checkpoint, TEXT_PREFIX, FAMILY, TEXT_KIND, config.text, services, digest
            )
            readers.append(text_reader)
        vae: NetworkAutoencoder | None = None
        if config.autoencoder is not None:
            vae, vae_reader = open_kl_part(checkpoint, "first_stage_model.", services.host("vae"), digest)
            readers.append(vae_reader)
        used = {key for reader in readers for key in reader.used_keys}
        harmless = (*HARMLESS_KEYS, *harmless_text_keys(TEXT_PREFIX))
        refuse_unknown_keys(checkpoint, used | ema_keys(unet_reader.specs), harmless)
        return OpenedCheckpoint(FAMILY, model, clip, vae)

    def open_text(self, files: Sequence[Checkpoint], services: FamilyServices) -> ClipTextEncoder | None:
        """ViT-bigG alone."""
        if len(files) != 1 or clip_width(files[0]) != CLIP_G_WIDTH:
            return None
        return open_clip_file(files[0], FAMILY, TEXT_KIND, services)


def family() -> RefinerFamily:
    """The family, for the registry."""
    return RefinerFamily()
