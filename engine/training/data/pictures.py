"""Picture files for training: decoded within limits, upright, on white, and framed to a size."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from engine.imaging.decode import IMAGE_FORMATS
from engine.training.data.reports import Problem, UnreadableItem
from engine.training.postcards.chance import Chance

__all__ = [
    "MAX_PICTURE_PIXELS",
    "PICTURE_SUFFIXES",
    "Framing",
    "frame_picture",
    "picture_size",
    "read_picture",
    "to_pixels",
]

MAX_PICTURE_PIXELS = 2**26
"""Pixels of one training picture (8192 × 8192); larger ones count as corrupt."""
PICTURE_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".ppm", ".tga", ".qoi")
)
_DEEP_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_TURNED = frozenset((5, 6, 7, 8))
_ORIENTATION_TAG = 0x0112


@dataclass(frozen=True, slots=True)
class Framing:
    """How a picture becomes `height` × `width`: scaled to cover the frame, then cropped.

    crop: "center" or "random". flips: mirror half of the examples left to right.
    """

    height: int
    width: int
    crop: str = "center"
    flips: bool = False


def read_picture(file: Path | bytes, name: str) -> Image.Image:
    """The first frame as an RGB picture: orientation tag applied, transparency laid on white.

    Raises UnreadableItem for damaged, unknown or oversized files.
    """
    try:
        with _opened(file) as picture:
            if picture.width * picture.height > MAX_PICTURE_PIXELS:
                raise ValueError(f"{picture.width}×{picture.height} pixels are too many")
            return _on_white(ImageOps.exif_transpose(picture))
    except MemoryError:
        raise
    except Exception as error:
        raise _corrupt(name, error) from error


def picture_size(path: Path, name: str) -> tuple[int, int]:
    """(height, width) of the upright picture, from the file's header. Raises UnreadableItem."""
    try:
        with _opened(path) as picture:
            width, height = picture.size
            if width * height > MAX_PICTURE_PIXELS:
                raise ValueError(f"{width}×{height} pixels are too many")
            is_turned = picture.getexif().get(_ORIENTATION_TAG) in _TURNED
            return (width, height) if is_turned else (height, width)
    except Exception as error:
        raise _corrupt(name, error) from error


def frame_picture(picture: Image.Image, framing: Framing, chance: Chance) -> dict[str, Any]:
    """The picture in its frame, with what SDXL is conditioned on (Podell et al. 2023, arXiv:2307.01952, section 2.2).

    `image` float32 [3 h w] in [-1, 1]; `original_size` (h, w) before scaling; `crop_top_left` (y, x) in the scaled
    picture, mirrored before it is cropped; `target_size` (h, w) of the frame. All sizes in pixels.
    """
    height, width = framing.height, framing.width
    scale = max(height / picture.height, width / picture.width)
    scaled = (max(width, round(picture.width * scale)), max(height, round(picture.height * scale)))
    original = (picture.height, picture.width)
    if picture.size != scaled:
        picture = picture.resize(scaled, Image.Resampling.LANCZOS, reducing_gap=3.0)
    if framing.flips and chance.stream("flip").happens(0.5):
        picture = ImageOps.mirror(picture)
    slack = (picture.height - height, picture.width - width)
    if framing.crop == "random":
        place = chance.stream("crop")
        top, left = place.below(slack[0] + 1), place.below(slack[1] + 1)
    else:
        top, left = slack[0] // 2, slack[1] // 2
    return {
        "image": to_pixels(picture.crop((left, top, left + width, top + height))),
        "original_size": torch.tensor(original),
        "crop_top_left": torch.tensor((top, left)),
        "target_size": torch.tensor((height, width)),
    }


def to_pixels(picture: Image.Image | np.ndarray) -> torch.Tensor:
    """An 8-bit picture [h w 3] (or [h w]) as float32 [c h w] in [-1, 1]."""
    values = torch.from_numpy(np.array(picture, dtype=np.float32)) / 127.5 - 1.0
    return values[None] if values.ndim == 2 else values.movedim(-1, 0).contiguous()


def _opened(file: Path | bytes) -> Image.Image:
    Image.init()
    formats = [name for name in IMAGE_FORMATS if name in Image.OPEN]
    with warnings.catch_warnings():
        # The size is checked by the callers, which know the file's name.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(io.BytesIO(file) if isinstance(file, bytes) else file, formats=formats)


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.mode in _DEEP_MODES:
        values = np.clip(np.asarray(picture).astype(np.float32) / 257.0, 0, 255)
        return Image.fromarray(values.round().astype(np.uint8)).convert("RGB")
    if "A" in picture.getbands() or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        paper = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(paper, layer).convert("RGB")
    return picture.convert("RGB")


def _corrupt(name: str, error: Exception) -> UnreadableItem:
    return UnreadableItem(Problem("corrupt_picture", name, str(error) or type(error).__name__))
