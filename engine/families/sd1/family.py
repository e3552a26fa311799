"""Stable Diffusion 1.x as a family: opens its checkpoints as MODEL, CLIP and VAE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.families.contract import FamilyMatch, FamilyServices, OpenedCheckpoint
from engine.families.denoiser import NetworkDenoiser
from engine.families.published_form import PublishedForm, TextForm
from engine.families.sd1.config import HEADS_MARKER, Sd1Config
from engine.families.sd1.detect import FAMILY, detect
from engine.families.sd1.keys import HARMLESS_KEYS, TEXT_PREFIX
from engine.families.sd1.network import LATENT_FORMAT, parameterization
from engine.families.sd1.text import TEXT_KIND
from engine.families.text.clip_encoder import ClipTextEncoder
from engine.families.text.opening import CLIP_G_WIDTH, CLIP_H_WIDTH, clip_width, open_clip_file
from engine.families.unet.form import UNET_SUFFIXES, UNetForm
from engine.families.unet.latents import colours_mark, with_marked_colours
from engine.families.unet.marks import ZERO_TERMINAL_MARK, prediction_marks, with_marked_levels
from engine.families.unet.opening import TextPart, UNetPart, open_unet_checkpoint
from engine.weights.checkpoint import Checkpoint

__all__ = ["Sd1Family", "family"]

_HARMLESS = (*HARMLESS_KEYS, ZERO_TERMINAL_MARK)


@dataclass(frozen=True, slots=True)
class Sd1Family:
    """Versions 1.1 to 1.5, their fine-tunes, inpainting and instructed editing."""

    name: str = FAMILY

    @property
    def published(self) -> PublishedForm:
        """How its checkpoints look."""
        return PublishedForm(_architecture, _marks, {TEXT_KIND.key: TextForm(TEXT_PREFIX)})

    def detect(self, shapes: Mapping[str, tuple[int, ...]]) -> FamilyMatch | None:
        """Recognise a file by its keys and shapes."""
        return detect(shapes)

    def open(self, checkpoint: Checkpoint, match: FamilyMatch, services: FamilyServices) -> OpenedCheckpoint:
        """Handles for the parts of the file; all keys must be known."""
        config: Sd1Config = match.config
        noise = with_marked_levels(parameterization(config.predicts_v), checkpoint)
        latents = with_marked_colours(LATENT_FORMAT, checkpoint)
        unet = UNetPart(config.unet_prefix, UNetForm(config.unet, latents), noise)
        texts = [] if config.text is None else [TextPart(TEXT_PREFIX, TEXT_KIND, config.text)]
        return open_unet_checkpoint(checkpoint, FAMILY, unet, texts, config.autoencoder, services, _HARMLESS)

    def open_text(self, files: Sequence[Checkpoint], services: FamilyServices) -> ClipTextEncoder | None:
        """CLIP L alone."""
        if len(files) != 1 or clip_width(files[0]) in (None, CLIP_H_WIDTH, CLIP_G_WIDTH):
            return None
        return open_clip_file(files[0], FAMILY, TEXT_KIND, services)


def family() -> Sd1Family:
    """The family, for the registry."""
    return Sd1Family()


def _architecture(model: NetworkDenoiser) -> str:
    """Its name in ModelSpec."""
    return f"stable-diffusion-v1{UNET_SUFFIXES[model.in_channels]}"


def _marks(model: NetworkDenoiser) -> dict[str, Tensor] | None:
    """What it predicts, how wide the heads of a small network are, and the colours of latents of its own."""
    marks, form = prediction_marks(model), model.form
    if marks is None:
        return None
    width = form.config.head_channels if isinstance(form, UNetForm) else None
    heads = {} if width is None else {HEADS_MARKER: torch.zeros(width)}
    return {**marks, **heads, **colours_mark(model.latent_format, LATENT_FORMAT)}
