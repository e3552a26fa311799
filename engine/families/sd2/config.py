"""Sizes of a Stable Diffusion 2 checkpoint, read from the shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.families.autoencoder.opening import autoencoder_config
from engine.families.text.clip_form import CLIP_H, read_clip_config
from engine.families.unet.sizes import read_unet_config
from engine.nn.autoencoder import AutoencoderConfig
from engine.nn.text_transformer import TextConfig
from engine.nn.unet import UNetConfig

__all__ = ["TEXT_PREFIX", "Sd2Config", "read_config"]

_HEAD_CHANNELS = 64
"""Width of one attention head of the U-Net; files do not tell."""

TEXT_PREFIX = "cond_stage_model.model."
_TEXT_PREFIXES = (TEXT_PREFIX, "conditioner.embedders.0.model.", "cond_stage_model.transformer.")
"""Where the text encoder is: as published, in SD-Turbo, and in files made from diffusers folders."""


@dataclass(frozen=True, slots=True)
class Sd2Config:
    """The parts of a file: sizes and key prefix of each; None for a part it lacks."""

    unet: UNetConfig
    unet_prefix: str
    text: TextConfig | None
    text_prefix: str
    autoencoder: AutoencoderConfig | None


def read_config(shapes: Mapping[str, tuple[int, ...]], unet_prefix: str) -> Sd2Config | None:
    """Sizes of all parts; None when there is no U-Net with transformers."""
    unet = read_unet_config(shapes, unet_prefix, _HEAD_CHANNELS)
    if unet is None:
        return None
    texts = ((prefix, read_clip_config(shapes, prefix, CLIP_H)) for prefix in _TEXT_PREFIXES)
    text_prefix, text = next(((prefix, text) for prefix, text in texts if text is not None), ("", None))
    return Sd2Config(unet, unet_prefix, text, text_prefix, autoencoder_config(shapes, "first_stage_model."))
