"""Keys of Stable Diffusion 1 files: what is renamed, and what is harmless."""

from __future__ import annotations

from engine.families.text.clip_form import CLIP_RULES
from engine.families.unet.keys import HARMLESS_KEYS as HARMLESS_UNET_KEYS
from engine.families.unet.keys import harmless_text_keys

__all__ = ["HARMLESS_KEYS", "TEXT_PREFIX", "TEXT_RULES"]

TEXT_PREFIX = "cond_stage_model.transformer."

TEXT_RULES = CLIP_RULES
"""Below `TEXT_PREFIX`: some tools drop `text_model.` from the names."""

HARMLESS_KEYS = (*HARMLESS_UNET_KEYS, *harmless_text_keys(TEXT_PREFIX), r"cond_stage_model\.logit_scale")
"""Beside what no U-Net's file uses: position numbers, the temperature of contrastive training."""
