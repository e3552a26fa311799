"""The text encoder of Stable Diffusion 1: CLIP ViT-L/14, its last layer after the final norm."""

from __future__ import annotations

from dataclasses import replace

from engine.families.adapters.text_names import TextNames
from engine.families.text.clip_form import CLIP_L

__all__ = ["ADAPTER_NAMES", "TEXT_KIND"]

ADAPTER_NAMES = TextNames(
    flat=("lora_te_",),
    dotted=("text_encoder.", "base_model.model.", "text_encoders.clip_l.transformer.", "cond_stage_model.transformer."),
)
"""What adapter files put before the names of its modules."""

TEXT_KIND = replace(CLIP_L, adapter_names=ADAPTER_NAMES)
"""77 tokens: start, up to 75 of the text, end, and more ends as padding."""
