"""Keys of Stable Diffusion 1 files: what is renamed, and what is harmless."""

from __future__ import annotations

import re

from engine.families.sd1.config import HEADS_MARKER
from engine.families.unet.keys import HARMLESS_KEYS as HARMLESS_UNET_KEYS
from engine.families.unet.keys import harmless_text_keys
from engine.families.unet.latents import COLOURS_MARK

__all__ = ["HARMLESS_KEYS", "TEXT_PREFIX"]

TEXT_PREFIX = "cond_stage_model.transformer."

HARMLESS_KEYS = (
    *HARMLESS_UNET_KEYS,
    *harmless_text_keys(TEXT_PREFIX),
    r"cond_stage_model\.logit_scale",
    re.escape(HEADS_MARKER),
    re.escape(COLOURS_MARK),
)
"""Beside what no U-Net's file uses: position numbers, the temperature of contrastive training, our own marks."""
