"""The text encoder of Stable Diffusion 1: CLIP ViT-L/14, its last layer after the final norm."""

from __future__ import annotations

from engine.families.adapters.text_names import TextNames
from engine.families.text.chunks import ChunkForm

__all__ = ["ADAPTER_NAMES", "CHUNKS", "ENCODER_KEY"]

ENCODER_KEY = "l"
CHUNKS = ChunkForm()
"""77 tokens: start, up to 75 of the text, end, and more ends as padding."""
ADAPTER_NAMES = TextNames(
    flat=("lora_te_",),
    dotted=("text_encoder.", "base_model.model.", "text_encoders.clip_l.transformer.", "cond_stage_model.transformer."),
)
"""What adapter files put before the names of its modules."""
