"""Making images from numbers, numbers from images, and changing colours value by value."""

from __future__ import annotations

from typing import Annotated

import torch

from engine.api import (
    MAX_DIMENSION,
    BatchSize,
    Context,
    Image,
    Int,
    Options,
    Range,
    Seed,
    UniqueId,
    imaging,
    node,
    require_room,
)

__all__ = ["add_image_noise", "empty_image", "get_image_size", "image_to_yuv", "invert_image", "yuv_to_image"]

Side = Annotated[int, Range(1, MAX_DIMENSION, step=1)]
PackedColor = Annotated[int, Range(0, 0xFFFFFF, step=1), Options(display="color")]


@node("EmptyImage", title="EmptyImage", category="image")
def empty_image(width: Side = 512, height: Side = 512, batch_size: BatchSize = 1, color: PackedColor = 0) -> Image:
    """Images of one colour, given as 0xRRGGBB."""
    require_room((batch_size, height, width, 3), "batch_size" if batch_size > 1 else "width")
    return torch.tensor(imaging.unpacked_rgb(color)).repeat(batch_size, height, width, 1)


@node("ImageInvert", title="Invert Image", category="image")
def invert_image(image: Image) -> Image:
    """1 - value, in every channel."""
    return 1.0 - image


@node("ImageAddNoise", title="ImageAddNoise", category="image")
def add_image_noise(
    image: Image, seed: Seed = 0, strength: Annotated[float, Range(0.0, 1.0, step=0.01)] = 0.5
) -> Image:
    """Add Gaussian noise of standard deviation `strength`, clipped to [0, 1].

    The noise of the whole batch comes from one CPU generator seeded with `seed`.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(image.shape, generator=generator)
    return (image + strength * noise.to(image)).clamp(0, 1)


@node("GetImageSize", title="Get Image Size", category="image", output_names=("width", "height", "batch_size"))
def get_image_size(image: Image, ctx: Context, unique_id: UniqueId = "") -> tuple[Int, Int, Int]:
    """Width and height in pixels and the number of images; also shown on the node."""
    batch_size, height, width = image.shape[:3]
    ctx.text(f"width: {width}, height: {height}\n batch size: {batch_size}")
    return width, height, batch_size


@node("ImageRGBToYUV", category="image/batch", output_names=("Y", "U", "V"), schema_form=True)
def image_to_yuv(image: Image) -> tuple[Image, Image, Image]:
    """Brightness, blueness and redness (YCbCr, BT.601 full range) as three grey images; neutral colours are 0.5."""
    planes = imaging.rgb_to_ycbcr(image[..., :3])
    luma, blueness, redness = (planes[..., i : i + 1].expand(-1, -1, -1, 3).contiguous() for i in range(3))
    return luma, blueness, redness


@node("ImageYUVToRGB", category="image/batch", schema_form=True)
def yuv_to_image(Y: Image, U: Image, V: Image) -> Image:
    """The inverse of ImageRGBToYUV; of each input the mean over the channels counts."""
    return imaging.ycbcr_to_rgb(torch.stack([plane.mean(-1) for plane in (Y, U, V)], dim=-1))
