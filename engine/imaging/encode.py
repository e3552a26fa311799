"""Images [h w c] and [b h w c] as bytes of image files, with metadata."""

from __future__ import annotations

import io

import torch

from engine.core.errors import NodeError
from engine.imaging.metadata import png_chunks, png_text, webp_exif
from engine.imaging.picture import to_picture

__all__ = ["MAX_WEBP_SIDE", "encode_animated_png", "encode_animated_webp", "encode_png"]

MAX_WEBP_SIDE = 16383
"""The format stores width and height in 14 bits."""

_Entries = tuple[tuple[str, str], ...]


def encode_png(image: torch.Tensor, entries: _Entries = (), compress_level: int = 4) -> bytes:
    """One image [h w c] as PNG with its metadata entries as text chunks."""
    buffer = io.BytesIO()
    to_picture(image).save(buffer, "PNG", pnginfo=png_text(entries), compress_level=compress_level)
    return buffer.getvalue()


def encode_animated_png(images: torch.Tensor, fps: float, entries: _Entries = (), compress_level: int = 4) -> bytes:
    """A batch [b h w c] as an animated PNG that shows each frame for 1/fps seconds."""
    first, *others = [to_picture(image) for image in images]
    buffer = io.BytesIO()
    first.save(
        buffer,
        "PNG",
        pnginfo=png_chunks(entries),
        compress_level=compress_level,
        save_all=True,
        duration=int(1000.0 / fps),
        append_images=others,
    )
    return buffer.getvalue()


def encode_animated_webp(
    images: torch.Tensor, fps: float, entries: _Entries = (), *, lossless: bool, quality: int, method: int
) -> bytes:
    """A batch [b h w c] as an animated WebP. `method`: 0 fast … 6 small. Raises NodeError beyond 16383 pixels."""
    if max(images.shape[1:3]) > MAX_WEBP_SIDE:
        raise NodeError(
            f"A WebP file can be {MAX_WEBP_SIDE} pixels wide and high, these images are "
            f"{images.shape[2]}×{images.shape[1]}.",
            code="bad_size",
            hint="Scale the images down or save them as PNG.",
            input="images",
        )
    first, *others = [to_picture(image) for image in images]
    buffer = io.BytesIO()
    first.save(
        buffer,
        "WEBP",
        save_all=True,
        duration=int(1000.0 / fps),
        append_images=others,
        exif=webp_exif(entries),
        lossless=lossless,
        quality=quality,
        method=method,
    )
    return buffer.getvalue()
