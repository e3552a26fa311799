"""Loading, saving and previewing images."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Annotated, Literal

from engine.api import (
    MAX_DIMENSION,
    Context,
    ExtraPngInfo,
    Image,
    InputFile,
    Mask,
    Options,
    PromptJson,
    Range,
    Socket,
    imaging,
    node,
    picture_entries,
)

__all__ = [
    "capture_webcam",
    "load_image",
    "load_image_mask",
    "load_image_output",
    "preview_image",
    "preview_mask",
    "save_image",
    "save_image_as",
    "save_image_websocket",
]

CaptureSide = Annotated[int, Range(0, MAX_DIMENSION, step=1)]
_TEMP_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_REMOTE_OUTPUT_FILES = {"route": "/internal/files/output", "refresh_button": True, "control_after_refresh": "first"}


@node("LoadImage", title="Load Image", category="image", lane="io")
def load_image(image: Annotated[str, InputFile("image")], ctx: Context) -> tuple[Image, Mask]:
    """A picture of the input folder, upright, as IMAGE, with 1 - alpha as MASK.

    Every frame of an animated file becomes one image of the batch. Without alpha the mask is 64×64 zeros.
    """
    return imaging.decode_images(ctx.input_path(image), image)


@node("LoadImageOutput", title="Load Image (from Outputs)", category="image", experimental=True, lane="io")
def load_image_output(
    image: Annotated[
        str,
        InputFile("image", folder="output"),
        Options(image_folder="output", remote=_REMOTE_OUTPUT_FILES),
    ],
    ctx: Context,
) -> tuple[Image, Mask]:
    """A picture of the output folder, like Load Image. A name without a folder mark is looked up among the outputs."""
    has_folder = image.endswith((" [input]", " [output]", " [temp]"))
    return imaging.decode_images(ctx.input_path(image if has_folder else f"{image} [output]"), image)


@node("LoadImageMask", title="Load Image (as Mask)", category="mask", lane="io")
def load_image_mask(
    image: Annotated[str, InputFile("", upload=False), Options(image_upload=True)],
    channel: Literal["alpha", "red", "green", "blue"],
    ctx: Context,
) -> Mask:
    """One channel of a picture as a mask [1 h w]; alpha is inverted, so transparent is 1."""
    return imaging.decode_channel(ctx.input_path(image), channel, Path(image).name)


@node("WebcamCapture", title="Webcam Capture", category="image", lane="io")
def capture_webcam(
    image: Annotated[str, InputFile("image", upload=False), Socket("WEBCAM")],
    width: CaptureSide = 0,
    height: CaptureSide = 0,
    capture_on_queue: bool = True,
    *,
    ctx: Context,
) -> Image:
    """The picture the editor took with the camera and uploaded.

    `width` and `height` (0: what the camera has) and `capture_on_queue` tell the editor how and when to take it.
    """
    images, _ = imaging.decode_images(ctx.input_path(image), image)
    return images


@node("SaveImage", title="Save Image", category="image", output=True, lane="io")
def save_image(
    images: Image,
    ctx: Context,
    filename_prefix: str = "ComfyUI",
    prompt: PromptJson = None,
    extra_pnginfo: ExtraPngInfo = None,
) -> None:
    """Save each image as a PNG that carries the prompt, the workflow and the settings as plain text."""
    images = imaging.require_batch(images, "images")
    entries = picture_entries(ctx, prompt, extra_pnginfo, images.shape[2], images.shape[1])
    for number, image in enumerate(images):
        ctx.check_cancelled()
        ctx.save_file(
            imaging.encode_png(image, entries),
            prefix=filename_prefix,
            extension="png",
            media_type="image/png",
            width_px=image.shape[1],
            height_px=image.shape[0],
            batch_number=number,
        )


@node("SaveImageAs", title="Save Image (PNG, JPEG, WebP)", category="image", output=True, lane="io")
def save_image_as(
    images: Image,
    ctx: Context,
    filename_prefix: str = "ComfyUI",
    format: Literal["png", "jpeg", "webp", "webp (lossless)"] = "png",
    quality: Annotated[int, Range(1, 100)] = 90,
    prompt: PromptJson = None,
    extra_pnginfo: ExtraPngInfo = None,
) -> None:
    """Save each image in the chosen format, with the prompt, the workflow and the settings as plain text.

    `quality` is for JPEG and WebP. JPEG files have no transparency, and room for 64 KB of text: a larger graph is left
    out, with a warning.
    """
    images = imaging.require_batch(images, "images")
    entries = picture_entries(ctx, prompt, extra_pnginfo, images.shape[2], images.shape[1])
    kind = format.partition(" ")[0]
    if kind == "jpeg" and not imaging.fits_jpeg(entries):
        ctx.warn("The graph does not fit into a JPEG file and is left out; PNG and WebP files have room for it.")
        entries = tuple(entry for entry in entries if entry[0] == imaging.PARAMETERS)
    for number, image in enumerate(images):
        ctx.check_cancelled()
        ctx.save_file(
            _encoded(image, entries, format, quality),
            prefix=filename_prefix,
            extension="jpg" if kind == "jpeg" else kind,
            media_type=f"image/{kind}",
            width_px=image.shape[1],
            height_px=image.shape[0],
            batch_number=number,
        )


@node("PreviewImage", title="Preview Image", category="image", output=True, lane="io")
def preview_image(images: Image, ctx: Context, prompt: PromptJson = None, extra_pnginfo: ExtraPngInfo = None) -> None:
    """Show the images; the files go to the temp folder."""
    _save_previews(imaging.require_batch(images, "images"), ctx, prompt, extra_pnginfo)


@node("MaskPreview", title="MaskPreview", category="mask", output=True, lane="io")
def preview_mask(mask: Mask, ctx: Context, prompt: PromptJson = None, extra_pnginfo: ExtraPngInfo = None) -> None:
    """Show a mask as a grey picture; the files go to the temp folder."""
    grey = imaging.mask_batch(mask)[..., None].expand(-1, -1, -1, 3)
    _save_previews(imaging.require_batch(grey, "mask"), ctx, prompt, extra_pnginfo)


@node("SaveImageWebsocket", title="SaveImageWebsocket", category="api/image", output=True, volatile=True, lane="io")
def save_image_websocket(images: Image, ctx: Context) -> None:
    """Send each image to the client's socket as PNG instead of writing a file. Carries no metadata."""
    images = imaging.require_batch(images, "images")
    for index, image in enumerate(images):
        ctx.send_image(image, index, len(images))


def _save_previews(images: Image, ctx: Context, prompt: PromptJson, extra_pnginfo: ExtraPngInfo) -> None:
    # The letters depend on the job and the node alone: a job that is tried again writes the same names.
    letters = random.Random(f"{ctx.job_id}/{ctx.node_id}").choices(_TEMP_LETTERS, k=5)
    entries = picture_entries(ctx, prompt, extra_pnginfo, images.shape[2], images.shape[1])
    for number, image in enumerate(images):
        ctx.check_cancelled()
        ctx.save_file(
            imaging.encode_png(image, entries, compress_level=1),
            prefix="ComfyUI_temp_" + "".join(letters),
            extension="png",
            media_type="image/png",
            folder="temp",
            width_px=image.shape[1],
            height_px=image.shape[0],
            batch_number=number,
        )


def _encoded(image: Image, entries: tuple[tuple[str, str], ...], format: str, quality: int) -> bytes:
    if format == "jpeg":
        return imaging.encode_jpeg(image, entries, quality)
    if format == "png":
        return imaging.encode_png(image, entries)
    return imaging.encode_webp(image, entries, quality, lossless=format != "webp")
