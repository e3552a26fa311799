"""Enlarging pictures with a network made for it."""

from __future__ import annotations

from typing import Annotated

from engine.api import Context, Image, ModelFile, NodeError, UpscaleModel, node, require_room

__all__ = ["load_upscale_model", "upscale_with_model"]


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
