"""Scaling, turning and cutting latents. Sizes are in pixels, 8 to a latent cell."""

from __future__ import annotations

from typing import Annotated, Literal

from engine.api import MAX_DIMENSION, Latent, NodeError, Range, imaging, node, require_room

__all__ = [
    "crop_latent",
    "flip_latent",
    "rotate_latent",
    "scale_latent",
    "scale_latent_by",
    "trim_video_latent",
]

Method = Literal["nearest-exact", "bilinear", "area", "bicubic", "bislerp"]
Side = Annotated[int, Range(0, MAX_DIMENSION, step=8)]
CropSide = Annotated[int, Range(64, MAX_DIMENSION, step=8)]
_SMALLEST_SIDE_PX = 64


@node("LatentUpscale", title="Upscale Latent", category="latent")
def scale_latent(
    samples: Latent,
    upscale_method: Method,
    width: Side = 512,
    height: Side = 512,
    *,
    crop: Literal["disabled", "center"],
) -> Latent:
    """Scale to width × height pixels, each at least 64. A side of 0 follows from the other; both 0: unchanged."""
    if width == 0 and height == 0:
        return samples
    largest = "width" if width > height else "height"
    latent = samples["samples"]
    rows, columns = latent.shape[-2:]
    width, height = (max(_SMALLEST_SIDE_PX, side) if side else 0 for side in (width, height))
    width = width or max(_SMALLEST_SIDE_PX, round(columns * height / rows))
    height = height or max(_SMALLEST_SIDE_PX, round(rows * width / columns))
    size = (width // imaging.PIXELS_PER_CELL, height // imaging.PIXELS_PER_CELL)
    require_room((*latent.shape[:-2], *size), largest)
    return {**samples, "samples": imaging.resize(latent, *size, upscale_method, crop)}


@node("LatentUpscaleBy", title="Upscale Latent By", category="latent")
def scale_latent_by(
    samples: Latent, upscale_method: Method, scale_by: Annotated[float, Range(0.01, 8.0, step=0.01)] = 1.5
) -> Latent:
    """Scale both sides by a factor, rounded to whole latent cells, at least one."""
    latent = samples["samples"]
    height, width = (max(1, round(side * scale_by)) for side in latent.shape[-2:])
    require_room((*latent.shape[:-2], height, width), "scale_by")
    return {**samples, "samples": imaging.resize(latent, width, height, upscale_method)}


@node("LatentRotate", title="Rotate Latent", category="latent/transform")
def rotate_latent(samples: Latent, rotation: Literal["none", "90 degrees", "180 degrees", "270 degrees"]) -> Latent:
    """Turn clockwise by quarter turns."""
    return {**samples, "samples": imaging.turn_clockwise(samples["samples"], rotation, rows=-2, columns=-1)}


@node("LatentFlip", title="Flip Latent", category="latent/transform")
def flip_latent(samples: Latent, flip_method: Literal["x-axis: vertically", "y-axis: horizontally"]) -> Latent:
    """Mirror upside down (about the x axis) or left to right (about the y axis)."""
    return {**samples, "samples": samples["samples"].flip(-2 if flip_method.startswith("x") else -1)}


@node("LatentCrop", title="Crop Latent", category="latent/transform")
def crop_latent(samples: Latent, width: CropSide = 512, height: CropSide = 512, x: Side = 0, y: Side = 0) -> Latent:
    """The part that starts at (x, y) as far as there is any; the corner moves so that 64 pixels always remain."""
    latent = samples["samples"]
    smallest = _SMALLEST_SIDE_PX // imaging.PIXELS_PER_CELL
    left = max(0, min(x // imaging.PIXELS_PER_CELL, latent.shape[-1] - smallest))
    top = max(0, min(y // imaging.PIXELS_PER_CELL, latent.shape[-2] - smallest))
    rows, columns = height // imaging.PIXELS_PER_CELL, width // imaging.PIXELS_PER_CELL
    return {**samples, "samples": latent[..., top : top + rows, left : left + columns]}


@node("TrimVideoLatent", category="latent/video", schema_form=True)
def trim_video_latent(samples: Latent, trim_amount: Annotated[int, Range(0, 99999)] = 0) -> Latent:
    """Drop the first `trim_amount` latent frames of a video [b c t h w]. Raises NodeError when none would remain."""
    latent = samples["samples"]
    if latent.ndim != 5 or trim_amount >= latent.shape[2]:
        raise NodeError(
            f"Cannot drop {trim_amount} frames of a latent of shape {list(latent.shape)}.",
            code="bad_latent",
            hint="Use a video latent [b c t h w] with more frames than are dropped.",
            input="trim_amount",
        )
    return {**samples, "samples": latent[:, :, trim_amount:]}
