"""Sizes of an upscaler checkpoint, read from the shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.families.autoencoder.opening import autoencoder_config
from engine.families.text.clip_form import CLIP_H, read_clip_config
from engine.families.unet.sizes import read_unet_config
from engine.nn.autoencoder import AutoencoderConfig
from engine.nn.text_transformer import TextConfig
from engine.nn.unet import UNetConfig

__all__ = ["TEXT_PREFIX", "UpscalerConfig", "read_config"]

TEXT_PREFIX = "cond_stage_model.model."

_NUM_HEADS = 8
"""Attention heads of the U-Net at every width; files do not tell."""


@dataclass(frozen=True, slots=True)
class UpscalerConfig:
    """The parts of a file: sizes of each, None for a part it lacks, and the U-Net's key prefix."""

    unet: UNetConfig
    unet_prefix: str
    text: TextConfig | None
    autoencoder: AutoencoderConfig | None


def read_config(shapes: Mapping[str, tuple[int, ...]], unet_prefix: str) -> UpscalerConfig | None:
    """Sizes of all parts; None when there is no U-Net with transformers."""
    unet = read_unet_config(shapes, unet_prefix, None, _NUM_HEADS)
    if unet is None:
        return None
    text = read_clip_config(shapes, TEXT_PREFIX, CLIP_H)
    return UpscalerConfig(unet, unet_prefix, text, autoencoder_config(shapes, "first_stage_model."))
