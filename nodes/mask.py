"""Masks [b h w]: from and to images, cutting, combining, growing, feathering."""

from __future__ import annotations

from typing import Annotated, Literal

import torch

from engine.api import MAX_DIMENSION, Image, Mask, NodeError, Options, Range, imaging, node, require_room

__all__ = [
    "combine_masks",
    "crop_mask",
    "feather_mask",
    "grow_mask",
    "image_color_to_mask",
    "image_to_mask",
    "invert_mask",
    "mask_to_image",
    "solid_mask",
    "threshold_mask",
]

Position = Annotated[int, Range(0, MAX_DIMENSION, step=1)]
Length = Annotated[int, Range(1, MAX_DIMENSION, step=1)]
_CHANNELS = ("red", "green", "blue", "alpha")


@node("MaskToImage", title="Convert Mask to Image", category="mask")
def mask_to_image(mask: Mask) -> Image:
    """A grey picture with the mask's values in all three channels."""
    planes = imaging.mask_batch(mask)
    require_room((*planes.shape, 3), "mask")
    return planes[..., None].repeat(1, 1, 1, 3)


@node("ImageToMask", title="Convert Image to Mask", category="mask")
def image_to_mask(image: Image, channel: Literal["red", "green", "blue", "alpha"]) -> Mask:
    """One channel as it is (alpha is not inverted)."""
    index = _CHANNELS.index(channel)
    if index >= image.shape[-1]:
        raise NodeError(
            f"The image has {image.shape[-1]} channels and no {channel}.",
            code="no_channel",
            hint="Choose a colour channel, or give the image an alpha channel with Join Image with Alpha.",
            input="channel",
        )
    return image[..., index].clone()


@node("ImageColorToMask", title="ImageColorToMask", category="mask")
def image_color_to_mask(
    image: Image, color: Annotated[int, Range(0, 0xFFFFFF, step=1), Options(display="color")] = 0
) -> Mask:
    """1 where the 8-bit colour is exactly 0xRRGGBB, else 0."""
    return (imaging.packed_rgb(image) == color).float()


@node("SolidMask", title="SolidMask", category="mask")
def solid_mask(
    value: Annotated[float, Range(0.0, 1.0, step=0.01)] = 1.0, width: Length = 512, height: Length = 512
) -> Mask:
    """A mask with one value everywhere."""
    return torch.full(require_room((1, height, width), "width"), float(value))


@node("InvertMask", title="InvertMask", category="mask")
def invert_mask(mask: Mask) -> Mask:
    """1 - value at every pixel."""
    return 1.0 - mask


@node("CropMask", title="CropMask", category="mask")
def crop_mask(mask: Mask, x: Position = 0, y: Position = 0, width: Length = 512, height: Length = 512) -> Mask:
    """The part that starts at (x, y), as far as the mask reaches. Raises NodeError when nothing is there."""
    batch = imaging.mask_batch(mask)
    if x >= batch.shape[2] or y >= batch.shape[1]:
        raise NodeError(
            f"({x}, {y}) lies outside the mask of {batch.shape[2]}×{batch.shape[1]}.",
            code="bad_position",
            hint="Choose a position inside the mask.",
            input="x" if x >= batch.shape[2] else "y",
        )
    return batch[:, y : y + height, x : x + width].clone()


@node("MaskComposite", title="MaskComposite", category="mask")
def combine_masks(
    destination: Mask,
    source: Mask,
    x: Position = 0,
    y: Position = 0,
    *,
    operation: Literal["multiply", "add", "subtract", "and", "or", "xor"],
) -> Mask:
    """Combine the source with the part of the destination it covers when placed at (x, y); clipped to [0, 1].

    and, or, xor take values above one half as true. The shorter batch is repeated.
    """
    target, other = imaging.mask_batch(destination), imaging.mask_batch(source).to(destination)
    count = max(len(target), len(other))
    require_room((count, *target.shape[1:]), "source")
    target = imaging.repeat_to_batch(target, count).clone()
    rows, other_rows = imaging.visible_span(y, other.shape[1], target.shape[1])
    columns, other_columns = imaging.visible_span(x, other.shape[2], target.shape[2])
    second = imaging.repeat_to_batch(other[:, other_rows, other_columns], count)
    target[:, rows, columns] = _combined(target[:, rows, columns], second, operation)
    return target.clamp(0.0, 1.0)


def _combined(first: torch.Tensor, second: torch.Tensor, operation: str) -> torch.Tensor:
    if operation == "multiply":
        return first * second
    if operation == "add":
        return first + second
    if operation == "subtract":
        return first - second
    left, right = first.round().bool(), second.round().bool()
    if operation == "and":
        return (left & right).to(first)
    return (left | right if operation == "or" else left ^ right).to(first)


@node("FeatherMask", title="FeatherMask", category="mask")
def feather_mask(mask: Mask, left: Position = 0, top: Position = 0, right: Position = 0, bottom: Position = 0) -> Mask:
    """Fade towards the edges: pixel k from an edge (from 0) is multiplied by (k + 1) / width of the fade."""
    batch = imaging.mask_batch(mask)
    height, width = batch.shape[1:]
    columns = _ramp(width, left) * _ramp(width, right).flip(0)
    rows = _ramp(height, top) * _ramp(height, bottom).flip(0)
    return batch * rows.to(batch)[:, None] * columns.to(batch)


def _ramp(length: int, fade: int) -> torch.Tensor:
    fade = min(fade, length)
    ramp = torch.ones(length)
    ramp[:fade] = torch.arange(1, fade + 1) / max(fade, 1)
    return ramp


@node("GrowMask", title="GrowMask", category="mask")
def grow_mask(
    mask: Mask, expand: Annotated[int, Range(-MAX_DIMENSION, MAX_DIMENSION, step=1)] = 0, tapered_corners: bool = True
) -> Mask:
    """Grow (or, below 0, shrink) by this many pixels: as a diamond with tapered corners, else as a square."""
    batch, size = imaging.mask_batch(mask)[:, None], 2 * abs(expand) + 1
    if expand == 0:
        return batch[:, 0]
    if tapered_corners:
        grown = imaging.dilate_cross(batch, expand) if expand > 0 else imaging.erode_cross(batch, -expand)
    else:
        grown = imaging.dilate(batch, size) if expand > 0 else imaging.erode(batch, size)
    return grown[:, 0]


@node("ThresholdMask", title="ThresholdMask", category="mask")
def threshold_mask(mask: Mask, value: Annotated[float, Range(0.0, 1.0, step=0.01)] = 0.5) -> Mask:
    """1 where the mask is above the value, else 0."""
    return (mask > value).float()
