"""Cutting, turning, padding and joining images."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
import torch.nn.functional as F

from engine.api import MAX_DIMENSION, Image, Mask, Range, imaging, node, require_room

__all__ = ["crop_image", "flip_image", "pad_image_for_outpaint", "rotate_image", "stitch_images"]

Position = Annotated[int, Range(0, MAX_DIMENSION, step=1)]
Length = Annotated[int, Range(1, MAX_DIMENSION, step=1)]
Margin = Annotated[int, Range(0, MAX_DIMENSION, step=8)]
_COLORS = {"white": (1, 1, 1), "black": (0, 0, 0), "red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}


@node("ImageCrop", title="Image Crop", category="image/transform")
def crop_image(image: Image, width: Length = 512, height: Length = 512, x: Position = 0, y: Position = 0) -> Image:
    """The part that starts at (x, y). What would lie outside is left out; at least one pixel remains."""
    imaging.require_batch(image, "image")
    left, top = min(x, image.shape[2] - 1), min(y, image.shape[1] - 1)
    return image[:, top : top + height, left : left + width]


@node("ImageFlip", title="ImageFlip", category="image/transform")
def flip_image(image: Image, flip_method: Literal["x-axis: vertically", "y-axis: horizontally"]) -> Image:
    """Mirror upside down (about the x axis) or left to right (about the y axis)."""
    return image.flip(1 if flip_method.startswith("x") else 2)


@node("ImageRotate", title="ImageRotate", category="image/transform")
def rotate_image(image: Image, rotation: Literal["none", "90 degrees", "180 degrees", "270 degrees"]) -> Image:
    """Turn clockwise by quarter turns."""
    return imaging.turn_clockwise(image, rotation, rows=1, columns=2)


@node("ImagePadForOutpaint", title="Pad Image for Outpainting", category="image")
def pad_image_for_outpaint(
    image: Image,
    left: Margin = 0,
    top: Margin = 0,
    right: Margin = 0,
    bottom: Margin = 0,
    feathering: Annotated[int, Range(0, MAX_DIMENSION, step=1)] = 40,
) -> tuple[Image, Mask]:
    """Grey margins around the image, and a mask [1 h w] that is 1 on them.

    Inside the image the mask falls off as ((f - d) / f)² with the distance d in pixels to the nearest padded edge.
    Feathering f that is half the image or more is ignored.
    """
    imaging.require_batch(image, "image")
    batch, height, width, channels = image.shape
    margins = {"left": left, "top": top, "right": right, "bottom": bottom}
    require_room((batch, height + top + bottom, width + left + right, channels), max(margins, key=margins.__getitem__))
    padded = F.pad(image, (0, 0, left, right, top, bottom), value=0.5)
    inner = torch.zeros(height, width)
    if feathering > 0 and feathering * 2 < min(height, width):
        rows = _edge_distance(height, top, bottom)
        columns = _edge_distance(width, left, right)
        distance = torch.minimum(rows[:, None], columns[None, :])
        inner = ((feathering - distance) / feathering).clamp(min=0) ** 2
    return padded, F.pad(inner, (left, right, top, bottom), value=1.0)[None]


def _edge_distance(length: int, has_start: int, has_end: int) -> torch.Tensor:
    """Distance of each pixel to the padded ends of an axis; pixel 0 has distance 0 from the start, length the end."""
    index = torch.arange(length, dtype=torch.float32)
    far = torch.full((length,), torch.inf)
    return torch.minimum(index if has_start else far, length - index if has_end else far)


@node("ImageStitch", title="Image Stitch", category="image/transform")
def stitch_images(
    image1: Image,
    direction: Literal["right", "down", "left", "up"] = "right",
    match_image_size: bool = True,
    spacing_width: Annotated[int, Range(0, 1024, step=2)] = 0,
    spacing_color: Literal["white", "black", "red", "green", "blue"] = "white",
    image2: Image | None = None,
) -> Image:
    """Put the second image beside the first, on the named side, with a strip of colour between.

    With `match_image_size` the second is scaled (lanczos) to the first's height or width; otherwise the smaller one
    is centred on black. Shorter batches repeat their last image; missing alpha is opaque. Odd strips grow by one.
    """
    imaging.require_batch(image1, "image1")
    if image2 is None:
        return image1
    imaging.require_batch(image2, "image2")
    is_sideways = direction in ("left", "right")
    spacing = spacing_width + spacing_width % 2
    _require_stitch_room(image1, image2, is_sideways, match_image_size, spacing)
    image1, image2 = _same_batch_and_channels(image1, image2.to(image1))
    if match_image_size:
        image2 = _scaled_to_edge(image2, image1, is_sideways)
    else:
        image1, image2 = _centred_on_black(image1, image2, axis=1 if is_sideways else 2)
    parts = [image1, image2] if direction in ("right", "down") else [image2, image1]
    if spacing:
        size = (image1.shape[1], spacing) if is_sideways else (spacing, image1.shape[2])
        parts.insert(1, _strip(image1, size, spacing_color))
    return torch.cat(parts, dim=2 if is_sideways else 1)


def _same_batch_and_channels(first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    batch, channels = max(len(first), len(second)), max(first.shape[-1], second.shape[-1])

    def grown(image: torch.Tensor) -> torch.Tensor:
        last = image[-1:].expand(batch - len(image), -1, -1, -1)
        return F.pad(torch.cat([image, last]), (0, channels - image.shape[-1]), value=1.0)

    return grown(first), grown(second)


def _require_stitch_room(
    first: torch.Tensor, second: torch.Tensor, is_sideways: bool, match_image_size: bool, spacing: int
) -> None:
    batch, channels = max(len(first), len(second)), max(first.shape[-1], second.shape[-1])
    width, height = _size_at_edge(second, first, is_sideways) if match_image_size else second.shape[2:0:-1]
    if is_sideways:
        size = (max(first.shape[1], height), first.shape[2] + spacing + width)
    else:
        size = (first.shape[1] + spacing + height, max(first.shape[2], width))
    require_room((batch, *size, channels), "image2")


def _size_at_edge(image: torch.Tensor, to: torch.Tensor, is_sideways: bool) -> tuple[int, int]:
    """Width and height of the image once its edge fits that of `to`."""
    height, width = image.shape[1:3]
    if is_sideways:
        return max(1, int(to.shape[1] * (width / height))), to.shape[1]
    return to.shape[2], max(1, int(to.shape[2] * (height / width)))


def _scaled_to_edge(image: torch.Tensor, to: torch.Tensor, is_sideways: bool) -> torch.Tensor:
    return imaging.resize_images(image, *_size_at_edge(image, to, is_sideways), "lanczos")


def _centred_on_black(first: torch.Tensor, second: torch.Tensor, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
    target = max(first.shape[axis], second.shape[axis])

    def grown(image: torch.Tensor) -> torch.Tensor:
        missing = target - image.shape[axis]
        ends = (missing // 2, missing - missing // 2)
        return F.pad(image, (0, 0, 0, 0, *ends) if axis == 1 else (0, 0, *ends))

    return grown(first), grown(second)


def _strip(like: torch.Tensor, size: tuple[int, int], color: str) -> torch.Tensor:
    channels = like.shape[-1]
    values = (*_COLORS[color], *([1] * channels))[:channels]
    return torch.tensor(values).to(like).expand(len(like), *size, channels)
