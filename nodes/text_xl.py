"""Text to conditioning for the XL models, which are told sizes beside the text."""

from __future__ import annotations

from typing import Annotated, Any

from engine.api import MAX_DIMENSION, Clip, Conditioning, Context, NodeError, Range, Text, diffusion, node

__all__ = ["encode_text_refiner", "encode_text_xl"]

Extent = Annotated[int, Range(0, MAX_DIMENSION)]
Prompt = Annotated[str, Text(multiline=True, dynamic_prompts=True)]


@node("CLIPTextEncodeSDXL", category="advanced/conditioning", lane="device", schema_form=True)
def encode_text_xl(
    *,
    clip: Clip,
    width: Extent = 1024,
    height: Extent = 1024,
    crop_w: Extent = 0,
    crop_h: Extent = 0,
    target_width: Extent = 1024,
    target_height: Extent = 1024,
    text_g: Prompt,
    text_l: Prompt,
    ctx: Context,
) -> Conditioning:
    """A text for each of the two encoders, and the sizes the network is told.

    The shorter text is filled up with empty chunks. Width, height and crop are those of the pictures to imitate.
    """
    tokens = dict(_present(clip).tokenize(text_g, warn=ctx.warn))
    second = clip.tokenize(text_l, warn=ctx.warn)
    if "l" not in second or "g" not in tokens:
        raise NodeError(
            f"This node needs text encoders L and G, the clip has {', '.join(sorted(tokens))}.",
            code="bad_tokens",
            hint="Use CLIP Text Encode with this model, or load the clip of an XL model.",
            input="clip",
        )
    tokens["l"] = second["l"]
    empty, longest = clip.tokenize(""), max(len(tokens["g"]), len(tokens["l"]))
    for key in ("g", "l"):
        tokens[key] = [*tokens[key], *empty[key] * (longest - len(tokens[key]))]
    sizes = {
        "width": width, "height": height, "crop_w": crop_w, "crop_h": crop_h,
        "target_width": target_width, "target_height": target_height,
    }  # fmt: skip
    return diffusion.encoded_in_stages(clip, lambda stage: stage.encode_tokens(tokens), sizes)


@node("CLIPTextEncodeSDXLRefiner", category="advanced/conditioning", lane="device", schema_form=True)
def encode_text_refiner(
    *,
    ascore: Annotated[float, Range(0.0, 1000.0, step=0.01)] = 6.0,
    width: Extent = 1024,
    height: Extent = 1024,
    text: Prompt,
    clip: Clip,
    ctx: Context,
) -> Conditioning:
    """Words for the refiner, with the size of the picture and an aesthetic score it is told."""
    numbers = {"aesthetic_score": ascore, "width": width, "height": height}
    return diffusion.encoded_in_stages(_present(clip), lambda stage: stage.encode(text, warn=ctx.warn), numbers)


def _present(clip: Any) -> Any:
    if clip is None:
        raise NodeError(
            "The clip input is empty.",
            code="missing_text_encoder",
            hint="The checkpoint has no text encoder; load one with a CLIP loader.",
            input="clip",
        )
    return clip
