"""Recognising XL refiner checkpoints by keys and shapes."""

from __future__ import annotations

from collections.abc import Mapping

from engine.families.contract import FamilyMatch
from engine.families.sdxl_refiner.config import RefinerConfig, read_config
from engine.families.sdxl_refiner.vector import NUM_NUMBERS
from engine.families.unet.sizes import unet_prefix
from engine.families.unet.vector import NUMBER_WIDTH

__all__ = ["FAMILY", "detect"]

FAMILY = "sdxl_refiner"

_TEXT_WIDTH = 1280


def detect(shapes: Mapping[str, tuple[int, ...]]) -> FamilyMatch | None:
    """Recognise a file: a U-Net with a vector of pooled text and five numbers, and a context from one text encoder."""
    prefix = unet_prefix(shapes)
    if prefix is None:
        return None
    config = read_config(shapes, prefix)
    if config is None or config.unet.vector_width is None or not config.unet.uses_linear:
        return None
    if (config.unet.in_channels, config.unet.out_channels) != (4, 4):
        return None
    if any(".time_stack." in key for key in shapes) or not _text_fits(config, shapes):
        return None
    return FamilyMatch(FAMILY, config, "Stable Diffusion XL refiner")


def _text_fits(config: RefinerConfig, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Context and vector have the widths of the encoder; without any, those of the published one."""
    context = pooled = _TEXT_WIDTH
    if config.text is not None:
        context, pooled = config.text.width, config.text.projection_width or config.text.width
    elif any(key.startswith(("cond_stage_model.", "conditioner.")) for key in shapes):
        return False
    return (config.unet.context_width, config.unet.vector_width) == (context, pooled + NUM_NUMBERS * NUMBER_WIDTH)
