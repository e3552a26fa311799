"""Pictures as conditioning: CLIP's image encoders, unCLIP models and style adapters."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch

from engine.api import (
    Clip,
    ClipVision,
    ClipVisionOutput,
    Conditioning,
    Context,
    Image,
    Model,
    ModelFile,
    NodeError,
    Range,
    StyleModel,
    Vae,
    node,
)

__all__ = [
    "apply_style_model",
    "encode_picture",
    "load_clip_vision",
    "load_style_model",
    "load_unclip_checkpoint",
    "show_picture",
]

_UNCLIP = "unclip_conditioning"


@node("CLIPVisionLoader", title="Load CLIP Vision", category="loaders", lane="io")
def load_clip_vision(clip_name: Annotated[str, ModelFile("clip_vision")], ctx: Context) -> ClipVision:
    """An image encoder: CLIP L, H or bigG."""
    return ctx.models.open_clip_vision(ctx.model_path("clip_vision", clip_name))


@node("CLIPVisionEncode", title="CLIP Vision Encode", category="conditioning", lane="device")
def encode_picture(clip_vision: ClipVision, image: Image, crop: Literal["center", "none"]) -> ClipVisionOutput:
    """Pictures as CLIP sees them, scaled to its square: cut at the sides, or squeezed."""
    if clip_vision is None:
        raise NodeError("There is no image encoder.", input="clip_vision", hint="Connect a Load CLIP Vision node.")
    return clip_vision.encode(image, crop)


@node("unCLIPCheckpointLoader", category="loaders", lane="io")
def load_unclip_checkpoint(
    ckpt_name: Annotated[str, ModelFile("checkpoints")], ctx: Context
) -> tuple[Model, Clip, Vae, ClipVision]:
    """Network, text encoder, autoencoder and image encoder of an unCLIP checkpoint. A part the file lacks is empty."""
    return ctx.models.open_unclip_checkpoint(ctx.model_path("checkpoints", ckpt_name))


@node("unCLIPConditioning", category="conditioning")
def show_picture(
    conditioning: Conditioning,
    clip_vision_output: ClipVisionOutput,
    strength: Annotated[float, Range(-10.0, 10.0, step=0.01)] = 1.0,
    noise_augmentation: Annotated[float, Range(0.0, 1.0, step=0.01)] = 0.0,
) -> Conditioning:
    """Have an unCLIP model make what a picture shows; with more noise augmentation, less like it. Pictures add up."""
    if strength == 0:
        return conditioning
    picture = {
        "clip_vision_output": clip_vision_output, "strength": strength, "noise_augmentation": noise_augmentation,
    }  # fmt: skip
    return [[tokens, {**options, _UNCLIP: [*options.get(_UNCLIP, []), picture]}] for tokens, options in conditioning]


@node("StyleModelLoader", title="Load Style Model", category="loaders", lane="io")
def load_style_model(style_model_name: Annotated[str, ModelFile("style_models")], ctx: Context) -> StyleModel:
    """The style adapter of T2I-Adapter."""
    return ctx.models.open_style_model(ctx.model_path("style_models", style_model_name))


@node("StyleModelApply", title="Apply Style Model", category="conditioning/style_model", lane="device")
def apply_style_model(
    *,
    conditioning: Conditioning,
    style_model: StyleModel,
    clip_vision_output: ClipVisionOutput,
    strength: Annotated[float, Range(0.0, 10.0, step=0.001)] = 1.0,
    strength_type: Literal["multiply", "attn_bias"],
    ctx: Context,
) -> Conditioning:
    """Put tokens of a picture's style behind those of every text; `multiply` scales them by the strength.

    U-Nets have no bias on attention, so with `attn_bias` the style is at full strength.
    """
    tokens = style_model.tokens(clip_vision_output)
    if strength_type == "multiply":
        tokens = tokens * strength
    elif strength != 1.0:
        ctx.warn("The U-Nets here know no bias on attention; the style is applied at full strength.")
    return [_behind(text, options, tokens) for text, options in conditioning]


def _behind(text: torch.Tensor, options: dict[str, Any], tokens: torch.Tensor) -> list[Any]:
    if tokens.shape[2] != text.shape[2]:
        raise NodeError(
            f"The style is for text of width {tokens.shape[2]}, this one has {text.shape[2]}.",
            code="style_mismatch",
            hint="Style models are for Stable Diffusion 1.",
            input="conditioning",
        )
    return [torch.cat([text, tokens.to(text).expand(len(text), -1, -1)], dim=1), dict(options)]
