"""Saving a batch of images as one moving picture."""

from __future__ import annotations

from typing import Annotated, Literal

from engine.api import Context, ExtraPngInfo, Image, NodeResult, PromptJson, Range, imaging, node, picture_entries

__all__ = ["save_animated_png", "save_animated_webp"]

_WEBP_EFFORT = {"default": 4, "fastest": 0, "slowest": 6}
FramesPerSecond = Annotated[float, Range(0.01, 1000.0, step=0.01)]


@node("SaveAnimatedWEBP", title="SaveAnimatedWEBP", category="image/animation", output=True, lane="io")
def save_animated_webp(
    images: Image,
    ctx: Context,
    filename_prefix: str = "ComfyUI",
    fps: FramesPerSecond = 6.0,
    lossless: bool = True,
    quality: Annotated[int, Range(0, 100)] = 80,
    *,
    method: Literal["default", "fastest", "slowest"],
    prompt: PromptJson = None,
    extra_pnginfo: ExtraPngInfo = None,
) -> NodeResult:
    """Save the batch as one animated WebP. With `lossless`, `quality` is the effort spent on size."""
    images = imaging.require_batch(images, "images")
    entries = picture_entries(ctx, prompt, extra_pnginfo, images.shape[2], images.shape[1])
    data = imaging.encode_animated_webp(
        images, fps, entries, lossless=lossless, quality=quality, method=_WEBP_EFFORT[method]
    )
    ctx.save_file(
        data,
        prefix=filename_prefix,
        extension="webp",
        media_type="image/webp",
        width_px=images.shape[2],
        height_px=images.shape[1],
    )
    return NodeResult(ui={"animated": [len(images) != 1]})


@node("SaveAnimatedPNG", title="SaveAnimatedPNG", category="image/animation", output=True, lane="io")
def save_animated_png(
    images: Image,
    ctx: Context,
    filename_prefix: str = "ComfyUI",
    fps: FramesPerSecond = 6.0,
    compress_level: Annotated[int, Range(0, 9)] = 4,
    prompt: PromptJson = None,
    extra_pnginfo: ExtraPngInfo = None,
) -> NodeResult:
    """Save the batch as one animated PNG."""
    images = imaging.require_batch(images, "images")
    entries = picture_entries(ctx, prompt, extra_pnginfo, images.shape[2], images.shape[1])
    ctx.save_file(
        imaging.encode_animated_png(images, fps, entries, compress_level),
        prefix=filename_prefix,
        extension="png",
        media_type="image/png",
        width_px=images.shape[2],
        height_px=images.shape[1],
    )
    return NodeResult(ui={"animated": [True]})
