"""The text encoder of Stable Diffusion 1: CLIP ViT-L/14, its last layer after the final norm."""

from __future__ import annotations

from engine.families.text.chunks import ChunkForm

__all__ = ["CHUNKS", "ENCODER_KEY"]

ENCODER_KEY = "l"
CHUNKS = ChunkForm()
"""77 tokens: start, up to 75 of the text, end, and more ends as padding."""
