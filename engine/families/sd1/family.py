"""Stable Diffusion 1.x as a family: opens its checkpoints as MODEL, CLIP and VAE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.families.contract import FamilyMatch, FamilyServices, OpenedCheckpoint
from engine.families.sd1.config import Sd1Config
from engine.families.sd1.detect import FAMILY, detect
from engine.families.sd1.keys import HARMLESS_KEYS, TEXT_PREFIX
from engine.families.sd1.network import LATENT_FORMAT, parameterization
from engine.families.sd1.text import TEXT_KIND
from engine.families.text.clip_encoder import ClipTextEncoder
from engine.families.text.opening import CLIP_G_WIDTH, CLIP_H_WIDTH, clip_width, open_clip_file
from engine.families.unet.form import UNetForm
from engine.families.unet.opening import TextPart, UNetPart, open_unet_checkpoint
from engine.weights.checkpoint import Checkpoint

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
        noise = parameterization(config.predicts_v)
        unet = UNetPart(config.unet_prefix, UNetForm(config.unet, LATENT_FORMAT), noise)
        texts = [] if config.text is None else [TextPart(TEXT_PREFIX, TEXT_KIND, config.text)]
        return open_unet_checkpoint(checkpoint, FAMILY, unet, texts, config.autoencoder, services, HARMLESS_KEYS)

    def open_text(self, files: Sequence[Checkpoint], services: FamilyServices) -> ClipTextEncoder | None:
        """CLIP L alone."""
        if len(files) != 1 or clip_width(files[0]) in (None, CLIP_H_WIDTH, CLIP_G_WIDTH):
            return None
        return open_clip_file(files[0], FAMILY, TEXT_KIND, services)


def family() -> Sd1Family:
    """The family, for the registry."""
    return Sd1Family()
