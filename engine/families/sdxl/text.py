"""The text encoders of Stable Diffusion XL: CLIP ViT-L/14 and OpenCLIP ViT-bigG/14, the last layers but one."""

from __future__ import annotations

from dataclasses import replace

from engine.families.adapters.text_names import TextNames
from engine.families.text.clip_form import CLIP_G, CLIP_L

__all__ = ["FIRST_KIND", "FIRST_PREFIX", "SECOND_KIND", "SECOND_PREFIX"]

FIRST_PREFIX = "conditioner.embedders.0.transformer."
SECOND_PREFIX = "conditioner.embedders.1.model."

FIRST_KIND = replace(
    CLIP_L,
    default_layer=-2,
    norms_hidden=False,
    adapter_names=TextNames(
        flat=("lora_te1_",), dotted=("text_encoder.", "text_encoders.clip_l.transformer.", FIRST_PREFIX)
    ),
)
"""ViT-L as SD1 has it, but without the final norm."""

SECOND_KIND = replace(
    CLIP_G,
    adapter_names=TextNames(flat=("lora_te2_",), dotted=("text_encoder_2.", "text_encoders.clip_g.transformer.")),
)
