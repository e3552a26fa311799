"""Text to conditioning."""

from __future__ import annotations

from typing import Annotated

from engine.api import Clip, Conditioning, Context, NodeError, Range, Text, diffusion, node

__all__ = ["encode_text", "set_last_layer"]


@node("CLIPTextEncode", title="CLIP Text Encode (Prompt)", category="conditioning", lane="device")
def encode_text(
    text: Annotated[str, Text(multiline=True, dynamic_prompts=True)], clip: Clip, ctx: Context
) -> Conditioning:
    """Words as conditioning. `(word:1.2)` weighs, `embedding:name` inserts a file of `embeddings`."""
    if clip is None:
        raise NodeError(
            "The clip input is empty.",
            code="missing_text_encoder",
            hint="The checkpoint has no text encoder; load one with a CLIP loader.",
            input="clip",
        )
    return diffusion.encoded_in_stages(clip, lambda stage: stage.encode(text, warn=ctx.warn))


@node("CLIPSetLastLayer", title="CLIP Set Last Layer", category="conditioning")
def set_last_layer(clip: Clip, stop_at_clip_layer: Annotated[int, Range(-24, -1, step=1)] = -1) -> Clip:
    """Use the output of an earlier layer, counted from the end: -1 is the last."""
    return clip.with_last_layer(stop_at_clip_layer)
