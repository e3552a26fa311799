"""Images [h w c] and [b h w c] as bytes of image files, with metadata."""

from __future__ import annotations

import io

import torch
from PIL import Image

from engine.core.errors import NodeError
from engine.imaging.metadata import picture_exif, png_chunks, png_text
from engine.imaging.picture import to_picture

__all__ = [
    "MAX_WEBP_SIDE",
    "encode_animated_png",
    "encode_animated_webp",
    "encode_jpeg",
    "encode_png",
    "encode_webp",
    "fits_jpeg",
]

MAX_WEBP_SIDE = 16383
"""The format stores width and height in 14 bits."""

_MAX_JPEG_EXIF_BYTES = 65533
"""A segment's length is 16 bits and counts itself."""

_Entries = tuple[tuple[str, str], ...]


def encode_png(image: torch.Tensor, entries: _Entries = (), compress_level: int = 4) -> bytes:
    """One image [h w c] as PNG with its metadata entries as text chunks."""
    buffer = io.BytesIO()
    to_picture(image).save(buffer, "PNG", pnginfo=png_text(entries), compress_level=compress_level)
    return buffer.getvalue()


def encode_jpeg(image: torch.Tensor, entries: _Entries = (), quality: int = 90) -> bytes:
    """One image [h w c] as JPEG on white, with its metadata as EXIF; for entries that `fits_jpeg`."""
    buffer = io.BytesIO()
    exif = picture_exif(entries).tobytes() if entries else b""
    _flattened(to_picture(image)).save(buffer, "JPEG", quality=quality, exif=exif)
    return buffer.getvalue()


def fits_jpeg(entries: _Entries) -> bool:
    """Whether a JPEG file has room for these entries."""
    return len(picture_exif(entries).tobytes()) <= _MAX_JPEG_EXIF_BYTES


def encode_webp(image: torch.Tensor, entries: _Entries = (), quality: int = 90, *, lossless: bool = False) -> bytes:
    """One image [h w c] as WebP with its metadata as EXIF. Raises NodeError beyond 16383 pixels."""
    _require_webp_size(image[None])
    buffer = io.BytesIO()
    exif = picture_exif(entries).tobytes() if entries else b""
    to_picture(image).save(buffer, "WEBP", quality=quality, lossless=lossless, exif=exif)
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
    _require_webp_size(images)
    first, *others = [to_picture(image) for image in images]
    buffer = io.BytesIO()
    first.save(
        buffer,
        "WEBP",
        save_all=True,
        duration=int(1000.0 / fps),
        append_images=others,
        exif=picture_exif(entries),
        lossless=lossless,
        quality=quality,
        method=method,
    )
    return buffer.getvalue()


def _require_webp_size(images: torch.Tensor) -> None:
    if max(images.shape[1:3]) > MAX_WEBP_SIDE:
        raise NodeError(
            f"A WebP file can be {MAX_WEBP_SIDE} pixels wide and high, these images are "
            f"{images.shape[2]}×{images.shape[1]}.",
            code="bad_size",
            hint="Scale the images down or save them as PNG.",
            input="images",
        )


def _flattened(picture: Image.Image) -> Image.Image:
    """The picture without transparency."""
    if picture.mode != "RGBA":
        return picture
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")
