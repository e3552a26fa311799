"""Filters: blending, blur, sharpening, palettes, morphology, edges."""

from __future__ import annotations

from typing import Annotated, Literal

import torch

from engine.api import Image, NodeError, Range, imaging, node, require_room

__all__ = [
    "blend_images",
    "blur_image",
    "compress_like_video_frame",
    "detect_edges",
    "morph_image",
    "quantize_image",
    "sharpen_image",
]

Radius = Annotated[int, Range(1, 31, step=1)]
Threshold = Annotated[float, Range(0.01, 0.99, step=0.01)]


@node("ImageBlend", category="image/postprocessing", schema_form=True)
def blend_images(
    image1: Image,
    image2: Image,
    blend_factor: Annotated[float, Range(0.0, 1.0, step=0.01)] = 0.5,
    *,
    blend_mode: Literal["normal", "multiply", "screen", "overlay", "soft_light", "difference"],
) -> Image:
    """Mix the first image with the blend of both: (1 - f) a + f B(a, b), clipped to [0, 1].

    The second image is cut and scaled (bicubic) to the first's size and takes its channels. "difference" is a - b,
    so it is 0 where the second is brighter.
    """
    imaging.require_batch(image1, "image1")
    imaging.require_batch(image2, "image2")
    lower, upper = imaging.match_channels(image1, image2.to(image1))
    if len(lower) > 1:
        upper = upper[: len(lower)]
    require_room((max(len(lower), len(upper)), *lower.shape[1:]), "image2")
    if lower.shape[1:3] != upper.shape[1:3]:
        upper = imaging.resize_images(upper, lower.shape[2], lower.shape[1], "bicubic", "center")
    if len(lower) > 1 and len(upper) > 1:
        upper = imaging.repeat_to_batch(upper, len(lower))
    mixed = imaging.blend(lower, upper, blend_mode)
    return (lower * (1 - blend_factor) + mixed * blend_factor).clamp(0, 1)


@node("ImageBlur", category="image/postprocessing", schema_form=True)
def blur_image(
    image: Image, blur_radius: Radius = 1, sigma: Annotated[float, Range(0.1, 10.0, step=0.1)] = 1.0
) -> Image:
    """Gaussian blur. `sigma` is in units of the radius: 1 is nearly a box, 0.1 hardly blurs. Borders mirror."""
    return imaging.blur(imaging.require_batch(image, "image"), blur_radius, sigma)


@node("ImageSharpen", category="image/postprocessing", schema_form=True)
def sharpen_image(
    image: Image,
    sharpen_radius: Radius = 1,
    sigma: Annotated[float, Range(0.1, 10.0, step=0.01)] = 1.0,
    alpha: Annotated[float, Range(0.0, 5.0, step=0.01)] = 1.0,
) -> Image:
    """Unsharp mask: image + 10 alpha (image - blurred), clipped to [0, 1]. The blur is that of ImageBlur."""
    return imaging.sharpen(imaging.require_batch(image, "image"), sharpen_radius, sigma, alpha)


@node("ImageQuantize", category="image/postprocessing", schema_form=True)
def quantize_image(
    image: Image,
    colors: Annotated[int, Range(1, 256, step=1)] = 256,
    *,
    dither: Literal["none", "floyd-steinberg", "bayer-2", "bayer-4", "bayer-8", "bayer-16"],
) -> Image:
    """Reduce each image to its own palette of `colors` colours (median cut), dithered as asked. Gives RGB."""
    return torch.stack([imaging.quantize(item, colors, dither) for item in imaging.require_batch(image, "image")])


@node("LTXVPreprocess", category="image", output_names=("output_image",), schema_form=True)
def compress_like_video_frame(image: Image, img_compression: Annotated[int, Range(0, 100)] = 35) -> Image:
    """Give pictures the compression damage of video frames, which image-to-video models expect of their first frame.

    `img_compression` is the constant rate factor of H.264: 0 leaves the image alone, 51 (and above) is the coarsest.
    No H.264 coder runs: the picture goes through JPEG with the quantiser steps an H.264 key frame of that factor has,
    so the loss is as large, but blocks are 8×8 without prediction or smoothing between them. Odd sides lose a pixel,
    as in video; alpha is dropped.
    """
    images = imaging.require_batch(image, "image")
    if img_compression == 0:
        return images
    return torch.stack([imaging.compress_like_key_frame(item, img_compression) for item in images])


@node("Morphology", title="ImageMorphology", category="image/postprocessing", schema_form=True)
def morph_image(
    image: Image,
    operation: Literal["erode", "dilate", "open", "close", "gradient", "bottom_hat", "top_hat"],
    kernel_size: Annotated[int, Range(3, 999, step=1)] = 3,
) -> Image:
    """Grey morphology with a square of `kernel_size` pixels, channel by channel; pixels outside are ignored."""
    pixels = imaging.require_batch(image, "image").movedim(-1, 1)

    def erode(value: torch.Tensor) -> torch.Tensor:
        return imaging.erode(value, kernel_size)

    def dilate(value: torch.Tensor) -> torch.Tensor:
        return imaging.dilate(value, kernel_size)

    if operation == "erode":
        result = erode(pixels)
    elif operation == "dilate":
        result = dilate(pixels)
    elif operation == "open":
        result = dilate(erode(pixels))
    elif operation == "close":
        result = erode(dilate(pixels))
    elif operation == "gradient":
        result = dilate(pixels) - erode(pixels)
    elif operation == "top_hat":
        result = pixels - dilate(erode(pixels))
    else:
        result = erode(dilate(pixels)) - pixels
    return result.movedim(1, -1)


@node("Canny", category="image/preprocessors", schema_form=True)
def detect_edges(image: Image, low_threshold: Threshold = 0.4, high_threshold: Threshold = 0.8) -> Image:
    """White edges on black (Canny 1986). Edges below the low threshold are dropped, those above the high one kept,
    and those between kept where they touch a kept one.
    """
    from kornia.filters import canny  # takes a second to import, and few jobs need it

    if low_threshold > high_threshold:
        raise NodeError(
            f"low_threshold {low_threshold} is above high_threshold {high_threshold}.",
            code="bad_value",
            hint="Lower the low threshold.",
            input="low_threshold",
        )
    pixels = imaging.require_batch(image, "image")[..., :3].movedim(-1, 1)
    _, edges = canny(pixels, low_threshold, high_threshold)
    return edges.expand(-1, 3, -1, -1).movedim(1, -1).contiguous()
