"""Recognising upscaler checkpoints by keys and shapes."""

from __future__ import annotations

from collections.abc import Mapping

from engine.families.contract import FamilyMatch
from engine.families.sd2_upscaler.config import read_config
from engine.families.unet.sizes import unet_prefix

__all__ = ["FAMILY", "detect"]

FAMILY = "sd2_upscaler"

_CHANNELS = (7, 4)
"""In: the latent's and the small picture's; out."""


def detect(shapes: Mapping[str, tuple[int, ...]]) -> FamilyMatch | None:
    """Recognise a file: a U-Net that sees a picture beside the latent, and has a table of noise levels."""
    prefix = unet_prefix(shapes)
    config = None if prefix is None else read_config(shapes, prefix)
    if config is None or not config.unet.uses_linear or not config.unet.num_classes:
        return None
    if (config.unet.in_channels, config.unet.out_channels) != _CHANNELS:
        return None
    if config.text is not None and config.text.width != config.unet.context_width:
        return None
    return FamilyMatch(FAMILY, config, f"Stable Diffusion x4 upscaler, context width {config.unet.context_width}")
