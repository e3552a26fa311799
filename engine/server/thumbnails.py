"""Small pictures of large ones: measured by header first, decoded on few threads, kept in memory by bytes."""

from __future__ import annotations

import asyncio
import io
from collections import OrderedDict
from typing import BinaryIO

from PIL import Image, ImageOps

from engine.core.errors import UploadRefused
from engine.server.failures import MediaTooLarge

__all__ = ["MAX_DECODED_PIXELS", "Thumbnails", "open_picture"]

MAX_DECODED_PIXELS = 64 << 20
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "AVIF", "BMP", "TIFF")
_MAX_CACHE_BYTES = 32 << 20
_NUM_THREADS = 2
_SIZES_PX = (64, 128, 256, 512, 1024)


def open_picture(stream: BinaryIO) -> Image.Image:
    """A picture of a known format whose size is safe to decode; nothing is decoded yet.

    Raises MediaTooLarge by the size its header claims, UploadRefused (code bad_media) when it is no picture.
    """
    Image.init()
    formats = [name for name in _FORMATS if name in Image.OPEN]
    try:
        picture = Image.open(stream, formats=formats)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise MediaTooLarge("The picture has too many pixels to be decoded.") from error
    except Exception as error:
        raise UploadRefused("This is not a picture of a known format.", code="bad_media") from error
    if picture.width * picture.height > MAX_DECODED_PIXELS:
        raise MediaTooLarge(f"The picture has {picture.width}×{picture.height} pixels, too many to be decoded.")
    return picture


class Thumbnails:
    """Makes WebP thumbnails."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(_NUM_THREADS)
        self._cache: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._cached_bytes = 0

    async def make(self, stream: BinaryIO, key: str, size_px: int = 256) -> bytes:
        """WebP bytes that fit into about `size_px` square (the next of a few sizes). `key` names the content.

        Closes `stream`. Raises as `open_picture`.
        """
        size = next((step for step in _SIZES_PX if step >= size_px), _SIZES_PX[-1])
        with stream:
            found = self._cache.get((key, size))
            if found is not None:
                self._cache.move_to_end((key, size))
                return found
            async with self._slots:
                data = await asyncio.to_thread(_shrink, stream, size)
        self._keep((key, size), data)
        return data

    def _keep(self, key: tuple[str, int], data: bytes) -> None:
        if key not in self._cache:
            self._cache[key] = data
            self._cached_bytes += len(data)
        while self._cached_bytes > _MAX_CACHE_BYTES:
            self._cached_bytes -= len(self._cache.popitem(last=False)[1])


def _shrink(stream: BinaryIO, size_px: int) -> bytes:
    picture = open_picture(stream)
    try:
        picture.draft("RGB", (size_px * 2, size_px * 2))
        picture.seek(0)
        small = ImageOps.exif_transpose(picture)
        small.thumbnail((size_px, size_px))
        mode = "RGBA" if "A" in small.getbands() or "transparency" in small.info else "RGB"
        target = io.BytesIO()
        small.convert(mode).save(target, "WEBP", quality=80)
    except Exception as error:
        raise UploadRefused("The picture is damaged.", code="bad_media") from error
    return target.getvalue()
