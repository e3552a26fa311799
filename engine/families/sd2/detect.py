"""Recognising Stable Diffusion 2 checkpoints by keys and shapes."""

from __future__ import annotations

from collections.abc import Mapping

from engine.families.contract import FamilyMatch
from engine.families.sd2.config import Sd2Config, read_config
from engine.families.unet.form import UNET_KINDS
from engine.families.unet.sizes import unet_prefix

__all__ = ["FAMILY", "detect"]

FAMILY = "sd2"

_CONTEXT_WIDTH = 1024
_OTHER_PARTS = ("depth_model.", "embedder.", "noise_augmentor.", "low_scale_model.")
"""Of the depth, unCLIP and upscaler variants."""


def detect(shapes: Mapping[str, tuple[int, ...]]) -> FamilyMatch | None:
    """Recognise a file: a U-Net with matrices around its transformers, no class embedding, and OpenCLIP's text.

    What tells it from its relatives: SD1 has convolutions for proj_in, SDXL and unCLIP a label embedding, the depth
    model five input channels, SVD layers over time.
    """
    prefix = unet_prefix(shapes)
    if prefix is None:
        return None
    config = read_config(shapes, prefix)
    if config is None or not config.unet.uses_linear or config.unet.out_channels != 4:
        return None
    has_labels = any(key.startswith(f"{prefix}label_emb.") for key in shapes)
    has_others = any(key.startswith(_OTHER_PARTS) or ".time_stack." in key for key in shapes)
    if has_labels or has_others or config.unet.in_channels not in UNET_KINDS or not _text_fits(config, shapes):
        return None
    kind = UNET_KINDS[config.unet.in_channels]
    return FamilyMatch(FAMILY, config, f"Stable Diffusion 2 ({kind}), context width {config.unet.context_width}")


def _text_fits(config: Sd2Config, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """The text encoder has the U-Net's context width; without any, the width must be that of ViT-H."""
    if config.text is not None:
        return config.text.width == config.unet.context_width
    has_other_text = any(key.startswith(("cond_stage_model.", "conditioner.")) for key in shapes)
    return not has_other_text and config.unet.context_width == _CONTEXT_WIDTH
