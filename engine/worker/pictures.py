"""Tensors → picture files for the client's socket."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image

from engine.core.errors import NodeError

__all__ = ["encode_jpeg", "encode_png", "to_picture"]

_JPEG_QUALITY = 95


def to_picture(image: torch.Tensor) -> Image.Image:
    """A tensor [h w c] (or [1 h w c]), values in [0, 1], c 1, 3 or 4, as 8-bit picture. Raises NodeError otherwise."""
    if image.ndim == 4 and image.shape[0] == 1:
        image = image[0]
    if image.ndim != 3 or image.shape[-1] not in (1, 3, 4) or 0 in image.shape:
        raise NodeError(
            f"A picture must have the shape [h w c] with 1, 3 or 4 channels, not {list(image.shape)}.",
            code="bad_picture",
        )
    pixels = (image.detach().to("cpu", torch.float32).nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8)
    array = np.ascontiguousarray(pixels.numpy())
    return Image.fromarray(array[:, :, 0] if array.shape[-1] == 1 else array)


def encode_jpeg(image: torch.Tensor, size_px: int) -> bytes:
    """A preview as JPEG, scaled up or down to fit a square of `size_px`."""
    picture = to_picture(image).convert("RGB")
    scale = size_px / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def encode_png(image: torch.Tensor) -> bytes:
    """A picture as PNG at its own size."""
    buffer = io.BytesIO()
    to_picture(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
