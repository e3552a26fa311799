"""Putting phrases at places of the picture with GLIGEN."""

from __future__ import annotations

from typing import Annotated

from engine.api import MAX_DIMENSION, Clip, Conditioning, Context, Gligen, ModelFile, NodeError, Range, Text, node

__all__ = ["load_gligen", "place_phrase"]

_PIXELS_PER_CELL = 8

Extent = Annotated[int, Range(8, MAX_DIMENSION, step=8)]
Offset = Annotated[int, Range(0, MAX_DIMENSION, step=8)]


@node("GLIGENLoader", category="loaders", lane="io")
def load_gligen(gligen_name: Annotated[str, ModelFile("gligen")], ctx: Context) -> Gligen:
    """A GLIGEN file for text boxes: gated attention for a Stable Diffusion 1 network."""
    return ctx.models.open_grounding(ctx.model_path("gligen", gligen_name))


@node("GLIGENTextBoxApply", category="conditioning/gligen", lane="device")
def place_phrase(
    conditioning_to: Conditioning,
    clip: Clip,
    gligen_textbox_model: Gligen,
    text: Annotated[str, Text(multiline=True, dynamic_prompts=True)],
    ctx: Context,
    width: Extent = 64,
    height: Extent = 64,
    x: Offset = 0,
    y: Offset = 0,
) -> Conditioning:
    """Ask for something in a rectangle, in pixels, beside what the prompt says; several of these nodes add up."""
    if gligen_textbox_model is None:
        raise NodeError("There is no GLIGEN.", input="gligen_textbox_model", hint="Connect a GLIGENLoader node.")
    if clip is None:
        raise NodeError("There is no text encoder.", input="clip", hint="Connect the CLIP of a checkpoint.")
    pooled = clip.encode(text, warn=ctx.warn).pooled
    phrase = (pooled, *(number // _PIXELS_PER_CELL for number in (height, width, y, x)))
    placed = []
    for tokens, options in conditioning_to:
        before = options["gligen"][2] if options.get("gligen") else []
        placed.append([tokens, {**options, "gligen": ("position", gligen_textbox_model, [*before, phrase])}])
    return placed
