"""Recognising Stable Diffusion XL checkpoints by keys and shapes."""

from __future__ import annotations

from collections.abc import Mapping

from engine.families.contract import FamilyMatch
from engine.families.sdxl.config import SdxlConfig, read_config
from engine.families.sdxl.vector import NUM_NUMBERS
from engine.families.unet.form import UNET_KINDS
from engine.families.unet.sizes import unet_prefix
from engine.families.unet.vector import NUMBER_WIDTH

__all__ = ["FAMILY", "detect"]

FAMILY = "sdxl"

_CONTEXT_WIDTH = 2048
_POOLED_WIDTH = 1280


def detect(shapes: Mapping[str, tuple[int, ...]]) -> FamilyMatch | None:
    """Recognise a file: a U-Net with a vector of pooled text and six numbers, and a context from two text encoders.

    What tells it from its relatives: the refiner's vector has five numbers, unCLIP's those of a picture.
    """
    prefix = unet_prefix(shapes)
    if prefix is None:
        return None
    config = read_config(shapes, prefix)
    if config is None or config.unet.vector_width is None or not config.unet.uses_linear:
        return None
    if config.unet.out_channels != 4 or config.unet.in_channels not in UNET_KINDS:
        return None
    if any(".time_stack." in key for key in shapes) or not _text_fits(config, shapes):
        return None
    kind = UNET_KINDS[config.unet.in_channels]
    size = "" if config.unet.output_depths is None else ", pruned"
    return FamilyMatch(FAMILY, config, f"Stable Diffusion XL ({kind}{size})")


def _text_fits(config: SdxlConfig, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Context and vector have the widths of the two encoders; without any, those of the published ones."""
    context, pooled = _CONTEXT_WIDTH, _POOLED_WIDTH
    if config.text is not None:
        first, second = config.text
        context, pooled = first.width + second.width, second.projection_width or second.width
    elif any(key.startswith(("cond_stage_model.", "conditioner.")) for key in shapes):
        return False
    return (config.unet.context_width, config.unet.vector_width) == (context, pooled + NUM_NUMBERS * NUMBER_WIDTH)
