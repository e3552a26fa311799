"""Enlarging pictures with a network made for it: at one stroke, or by diffusion."""

from __future__ import annotations

from typing import Annotated, Any

import torch

from engine.api import (
    Conditioning,
    Context,
    Image,
    Latent,
    ModelFile,
    NodeError,
    Range,
    UpscaleModel,
    imaging,
    node,
    require_room,
)

__all__ = ["condition_upscaling", "load_upscale_model", "upscale_with_model"]

_CELL_PX = 4
"""Pixels per latent cell of the diffusion upscaler, and how much smaller the picture it is shown is."""


@node("UpscaleModelLoader", title="Load Upscale Model", category="loaders", lane="io", schema_form=True)
def load_upscale_model(model_name: Annotated[str, ModelFile("upscale_models")], ctx: Context) -> UpscaleModel:
    """An upscaler: Real-ESRGAN, its compact form, or ESRGAN with any of its key namings."""
    return ctx.models.open_upscaler(ctx.model_path("upscale_models", model_name))


@node(
    "ImageUpscaleWithModel",
    title="Upscale Image (using Model)",
    category="image/upscaling",
    lane="device",
    schema_form=True,
)
def upscale_with_model(upscale_model: UpscaleModel, image: Image, ctx: Context) -> Image:
    """The image enlarged by the model's own factor, in tiles that fit the memory; transparency is dropped."""
    if upscale_model is None:
        raise NodeError("There is no upscale model.", input="upscale_model", hint="Connect a Load Upscale Model node.")
    scale = upscale_model.scale
    count, height, width = image.shape[:3]
    require_room((count, height * scale, width * scale, 3), "image")

    def on_tile(done: int, total: int) -> None:
        ctx.check_cancelled()
        ctx.progress(done, total)

    return upscale_model.upscale(image, on_tile)


@node(
    "SD_4XUpscale_Conditioning",
    category="conditioning/upscale_diffusion",
    output_names=("positive", "negative", "latent"),
    schema_form=True,
)
def condition_upscaling(
    images: Image,
    positive: Conditioning,
    negative: Conditioning,
    scale_ratio: Annotated[float, Range(0.0, 10.0, step=0.01)] = 4.0,
    noise_augmentation: Annotated[float, Range(0.0, 1.0, step=0.001)] = 0.0,
) -> tuple[Conditioning, Conditioning, Latent]:
    """Show the diffusion upscaler the picture to enlarge; the latent is empty and of the enlarged picture's size.

    The model makes four times as much of what it is shown: at another ratio the picture is scaled beforehand.
    """
    height, width = (max(1, round(size * scale_ratio) // _CELL_PX) for size in images.shape[1:3])
    require_room((len(images), height, width, 4), "images")
    small = imaging.resize_images(images[..., :3], width, height, "bilinear", "center")
    shown = {"concat_image": small.movedim(-1, 1) * 2.0 - 1.0, "noise_augmentation": noise_augmentation}
    latent = {"samples": torch.zeros(len(images), 4, height, width)}
    return _shown(positive, shown), _shown(negative, shown), latent


def _shown(conditioning: list[Any], shown: dict[str, Any]) -> list[Any]:
    return [[tokens, {**options, **shown}] for tokens, options in conditioning]
