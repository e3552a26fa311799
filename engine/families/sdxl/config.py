"""Sizes of a Stable Diffusion XL checkpoint, read from the shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.families.autoencoder.opening import autoencoder_config
from engine.families.sdxl.text import FIRST_KIND, FIRST_PREFIX, SECOND_KIND, SECOND_PREFIX
from engine.families.text.clip_form import read_clip_config
from engine.families.unet.sizes import read_unet_config
from engine.nn.autoencoder import AutoencoderConfig
from engine.nn.text_transformer import TextConfig
from engine.nn.unet import UNetConfig

__all__ = ["SdxlConfig", "read_config"]

_HEAD_CHANNELS = 64
"""Width of one attention head of the U-Net; files do not tell."""


@dataclass(frozen=True, slots=True)
class SdxlConfig:
    """The parts of a file: sizes of each, and the U-Net's key prefix. `text`: both encoders, None without."""

    unet: UNetConfig
    unet_prefix: str
    text: tuple[TextConfig, TextConfig] | None
    autoencoder: AutoencoderConfig | None


def read_config(shapes: Mapping[str, tuple[int, ...]], unet_prefix: str) -> SdxlConfig | None:
    """Sizes of all parts; None when there is no U-Net with transformers."""
    unet = read_unet_config(shapes, unet_prefix, _HEAD_CHANNELS)
    if unet is None:
        return None
    first = read_clip_config(shapes, FIRST_PREFIX, FIRST_KIND)
    second = read_clip_config(shapes, SECOND_PREFIX, SECOND_KIND)
    text = None if first is None or second is None else (first, second)
    return SdxlConfig(unet, unet_prefix, text, autoencoder_config(shapes, "first_stage_model."))
