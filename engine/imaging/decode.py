"""Image files as tensors, within limits that are checked on the header before any pixel is decoded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from engine.core.errors import AtelierError, NodeError

__all__ = ["IMAGE_FORMATS", "MAX_FRAMES", "MAX_PIXELS", "decode_channel", "decode_images"]

MAX_PIXELS = 2**27
"""Pixels of one file, all frames together (16384 × 8192)."""
MAX_FRAMES = 16_384
IMAGE_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF", "ICO", "PPM", "TGA", "QOI")
"""Formats that are opened. Others run foreign programs (EPS) or are no pictures."""

_NO_MASK_SIZE = (64, 64)
_DEEP_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")


def decode_images(
    path: Path, name: str = "", *, max_pixels: int = MAX_PIXELS, max_frames: int = MAX_FRAMES
) -> tuple[torch.Tensor, torch.Tensor]:
    """All frames of a file as (images [b h w 3], masks [b h w]), float32 in [0, 1].

    The orientation tag is applied. The mask is 1 - alpha (also for palettes with transparency), or [b 64 64] zeros
    when no frame has alpha. Frames of another size than the first are skipped, and only the first of a multi-picture
    camera file counts. Grey files of 16 bits keep their precision: v / 65535.

    Args:
        name: how messages call the file.
        max_pixels, max_frames: limits for the whole file.

    Raises NodeError (bad_image, image_too_large) for damaged, unknown or oversized files.
    """
    name = name or path.name
    colors: list[torch.Tensor] = []
    masks: list[torch.Tensor | None] = []
    for frame in _frames(path, name, max_pixels, max_frames):
        color = _color(frame)
        if colors and color.shape != colors[0].shape:
            continue
        colors.append(color)
        masks.append(_transparency(frame))
    size = _NO_MASK_SIZE if all(mask is None for mask in masks) else colors[0].shape[:2]
    return torch.stack(colors), torch.stack([torch.zeros(size) if mask is None else mask for mask in masks])


def decode_channel(path: Path, channel: str, name: str = "") -> torch.Tensor:
    """One channel ("red", "green", "blue", "alpha") of a file's first frame as a mask [1 h w]; alpha is inverted.

    A file without alpha is opaque: its alpha mask is 0. Raises NodeError like `decode_images`.
    """
    for frame in _frames(path, name or path.name):
        if channel == "alpha":
            mask = _transparency(frame)
            return (torch.zeros(frame.height, frame.width) if mask is None else mask)[None]
        return _color(frame)[None, ..., ("red", "green", "blue").index(channel)]
    raise NodeError(f"{name or path.name} holds no picture.", code="bad_image", input="image")


def _frames(path: Path, name: str, max_pixels: int = MAX_PIXELS, max_frames: int = MAX_FRAMES) -> Iterator[Image.Image]:
    """Upright frames, each checked against the limits before it is decoded."""
    try:
        with _opened(path) as picture:
            pixels = 0
            for index in range(max_frames + 1):
                if index:
                    try:
                        picture.seek(index)
                    except EOFError:
                        return
                pixels += picture.width * picture.height
                if index >= max_frames:
                    raise _too_large(name, f"it has more than {max_frames} frames")
                if pixels > max_pixels:
                    raise _too_large(name, f"{_extent(picture, pixels, index)}, the limit is {max_pixels} in all")
                yield ImageOps.exif_transpose(picture)
                if picture.format == "MPO":
                    return
    except AtelierError:
        raise
    except FileNotFoundError as error:
        raise NodeError(
            f"There is no file {name}.", code="file_missing", hint="Upload it again.", input="image"
        ) from error
    except Image.DecompressionBombError as error:
        raise _too_large(name, str(error)) from error
    except MemoryError:
        raise
    except Exception as error:
        raise NodeError(
            f"{name} cannot be read as an image: {error}",
            code="bad_image",
            hint=f"The file is damaged or not one of {', '.join(IMAGE_FORMATS)}. Save it again as PNG.",
            input="image",
        ) from error


def _opened(path: Path) -> Image.Image:
    Image.init()
    return Image.open(path, formats=[name for name in IMAGE_FORMATS if name in Image.OPEN])


def _extent(picture: Image.Image, pixels: int, index: int) -> str:
    if index == 0:
        return f"it has {picture.width}×{picture.height} pixels"
    return f"its first {index + 1} frames have {pixels} pixels"


def _too_large(name: str, reason: str) -> NodeError:
    return NodeError(
        f"{name} is too large: {reason}.", code="image_too_large", hint="Scale or cut the picture first.", input="image"
    )


def _color(frame: Image.Image) -> torch.Tensor:
    if frame.mode in _DEEP_MODES:
        values = torch.from_numpy(np.asarray(frame).astype(np.float32)) / 65535.0
        return values.clamp(0, 1)[..., None].expand(-1, -1, 3).contiguous()
    return torch.from_numpy(np.asarray(frame.convert("RGB")).astype(np.float32) / 255.0)


def _transparency(frame: Image.Image) -> torch.Tensor | None:
    """1 - alpha [h w], or None for a frame without alpha."""
    if "A" in frame.getbands():
        alpha = frame.getchannel("A")
    elif frame.mode == "P" and "transparency" in frame.info:
        alpha = frame.convert("RGBA").getchannel("A")
    else:
        return None
    return 1.0 - torch.from_numpy(np.asarray(alpha).astype(np.float32) / 255.0)
