"""The text encoder of the XL refiner: OpenCLIP ViT-bigG/14, the last layer but one."""

from __future__ import annotations

from dataclasses import replace

from engine.families.adapters.text_names import TextNames
from engine.families.text.clip_form import CLIP_G

__all__ = ["TEXT_KIND", "TEXT_PREFIX"]

TEXT_PREFIX = "conditioner.embedders.0.model."

TEXT_KIND = replace(
    CLIP_G,
    adapter_names=TextNames(
        flat=("lora_te_", "lora_te2_"), dotted=("text_encoder.", "text_encoder_2.", "text_encoders.clip_g.transformer.")
    ),
)
