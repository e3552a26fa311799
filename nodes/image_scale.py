"""Making images larger or smaller."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch

from engine.api import MAX_DIMENSION, Choice, Image, Range, imaging, node, require_room

__all__ = [
    "resize_and_pad_image",
    "scale_image",
    "scale_image_by",
    "scale_image_for_kontext",
    "scale_image_to_max_dimension",
    "scale_image_to_total_pixels",
]

Method = Literal["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]
Side = Annotated[int, Range(0, MAX_DIMENSION, step=1)]
PositiveSide = Annotated[int, Range(1, MAX_DIMENSION, step=1)]
_MEGAPIXEL = 1024 * 1024
_KONTEXT_SIZES = (
    (672, 1568), (688, 1504), (720, 1456), (752, 1392), (800, 1328), (832, 1248), (880, 1184), (944, 1104),
    (1024, 1024), (1104, 944), (1184, 880), (1248, 832), (1328, 800), (1392, 752), (1456, 720), (1504, 688),
    (1568, 672),
)  # fmt: skip
"""Width and height of the pictures FLUX.1 Kontext was trained on (PREFERRED_KONTEXT_RESOLUTIONS of its release)."""


@node("ImageScale", title="Upscale Image", category="image/upscaling")
def scale_image(
    image: Image,
    upscale_method: Method,
    width: Side = 512,
    height: Side = 512,
    *,
    crop: Literal["disabled", "center"],
) -> Image:
    """Scale to width × height. A side of 0 follows from the other by the aspect ratio; both 0: unchanged."""
    imaging.require_batch(image, "image")
    if width == 0 and height == 0:
        return image
    largest = "width" if width > height else "height"
    old_height, old_width = image.shape[1:3]
    width = width or max(1, round(old_width * height / old_height))
    height = height or max(1, round(old_height * width / old_width))
    return _resized(image, width, height, upscale_method, largest, crop)


@node("ImageScaleBy", title="Upscale Image By", category="image/upscaling")
def scale_image_by(
    image: Image, upscale_method: Method, scale_by: Annotated[float, Range(0.01, 8.0, step=0.01)] = 1.0
) -> Image:
    """Scale both sides by a factor, rounded to whole pixels, at least one."""
    imaging.require_batch(image, "image")
    height, width = (max(1, round(side * scale_by)) for side in image.shape[1:3])
    return _resized(image, width, height, upscale_method, "scale_by")


@node("ImageScaleToTotalPixels", category="image/upscaling", schema_form=True)
def scale_image_to_total_pixels(
    image: Image, upscale_method: Method, megapixels: Annotated[float, Range(0.01, 16.0, step=0.01)] = 1.0
) -> Image:
    """Scale to about this many pixels, keeping the aspect ratio. One megapixel is 1024 × 1024."""
    imaging.require_batch(image, "image")
    old_height, old_width = image.shape[1:3]
    factor = math.sqrt(int(megapixels * _MEGAPIXEL) / (old_width * old_height))
    width, height = max(1, round(old_width * factor)), max(1, round(old_height * factor))
    return _resized(image, width, height, upscale_method, "megapixels")


@node("ImageScaleToMaxDimension", title="ImageScaleToMaxDimension", category="image/upscaling")
def scale_image_to_max_dimension(
    image: Image,
    upscale_method: Annotated[str, Choice(("area", "lanczos", "bilinear", "nearest-exact", "bilinear", "bicubic"))],
    largest_size: Side = 512,
) -> Image:
    """Scale so that the longer side has this length, keeping the aspect ratio. 0 leaves the image unchanged."""
    imaging.require_batch(image, "image")
    if largest_size == 0:
        return image
    old_height, old_width = image.shape[1:3]
    longest = max(old_width, old_height)
    width = max(1, round(old_width / longest * largest_size))
    height = max(1, round(old_height / longest * largest_size))
    return _resized(image, width, height, upscale_method, "largest_size")


@node("FluxKontextImageScale", category="advanced/conditioning/flux", schema_form=True)
def scale_image_for_kontext(image: Image) -> Image:
    """Cut and scale (lanczos) to the size nearest in aspect ratio among those FLUX.1 Kontext was trained on."""
    imaging.require_batch(image, "image")
    aspect = image.shape[2] / image.shape[1]
    _, width, height = min((abs(aspect - width / height), width, height) for width, height in _KONTEXT_SIZES)
    return _resized(image, width, height, "lanczos", "image", "center")


@node("ResizeAndPadImage", title="ResizeAndPadImage", category="image/transform")
def resize_and_pad_image(
    image: Image,
    target_width: PositiveSide = 512,
    target_height: PositiveSide = 512,
    *,
    padding_color: Literal["white", "black"],
    interpolation: Literal["area", "bicubic", "nearest-exact", "bilinear", "lanczos"],
) -> Image:
    """Scale to fit inside the target without distortion and fill the rest around it; the image sits in the middle."""
    imaging.require_batch(image, "image")
    batch, old_height, old_width, channels = image.shape
    larger = "target_width" if target_width > target_height else "target_height"
    shape = require_room((batch, target_height, target_width, channels), larger)
    factor = min(target_width / old_width, target_height / old_height)
    width, height = max(1, int(old_width * factor)), max(1, int(old_height * factor))
    fitted = imaging.resize_images(image, width, height, interpolation)
    canvas = torch.full(shape, float(padding_color == "white")).to(image)
    top, left = (target_height - height) // 2, (target_width - width) // 2
    canvas[:, top : top + height, left : left + width] = fitted
    return canvas


def _resized(
    image: torch.Tensor, width: int, height: int, method: str, input: str, crop: str = "disabled"
) -> torch.Tensor:
    """The images at a new size, if there is room for it; `input` is what asks for the size."""
    require_room((len(image), height, width, image.shape[-1]), input)
    return imaging.resize_images(image, width, height, method, crop)
