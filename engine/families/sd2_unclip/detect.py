"""Recognising unCLIP checkpoints by keys and shapes."""

from __future__ import annotations

from collections.abc import Mapping

from engine.families.contract import FamilyMatch
from engine.families.sd2_unclip.config import EMBEDDER_PREFIX, read_config
from engine.families.unet.sizes import unet_prefix

__all__ = ["FAMILY", "detect"]

FAMILY = "sd2_unclip"


def detect(shapes: Mapping[str, tuple[int, ...]]) -> FamilyMatch | None:
    """Recognise a file: a U-Net with a vector, and the image encoder whose output goes into it.

    The vector is the picture's embedding and as many numbers for how much noise was added to it.
    """
    prefix = unet_prefix(shapes)
    projection = shapes.get(f"{EMBEDDER_PREFIX}visual.proj", ())
    if prefix is None or len(projection) != 2:
        return None
    config = read_config(shapes, prefix)
    if config is None or not config.unet.uses_linear or config.unet.vector_width != 2 * projection[1]:
        return None
    if (config.unet.in_channels, config.unet.out_channels) != (4, 4):
        return None
    if config.text is not None and config.text.width != config.unet.context_width:
        return None
    return FamilyMatch(FAMILY, config, f"Stable Diffusion 2.1 unCLIP, image embedding of width {projection[1]}")
