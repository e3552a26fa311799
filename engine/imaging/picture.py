"""Between tensors and Pillow pictures, 8 bits per channel."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from engine.core.errors import NodeError

__all__ = ["from_picture", "to_bytes", "to_picture"]

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def to_bytes(image: torch.Tensor) -> torch.Tensor:
    """Values in [0, 1] as uint8. Fractions are cut, not rounded; k/255 comes back as exactly k. NaN becomes 0."""
    return (torch.nan_to_num(image.detach().float()) * 255.0).clamp(0, 255).to(torch.uint8).cpu()


def to_picture(image: torch.Tensor) -> Image.Image:
    """One image [h w c], c 1, 3 or 4, as a picture of mode L, RGB or RGBA. Raises NodeError for other shapes."""
    if image.ndim != 3 or image.shape[-1] not in _MODES or image.numel() == 0:
        raise NodeError(
            f"An image needs shape [h w c] with 1, 3 or 4 channels, this one has {list(image.shape)}.",
            code="bad_image",
            hint="Connect the output of a node that makes images.",
        )
    pixels = to_bytes(image).numpy()
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if image.shape[-1] == 1 else pixels))


def from_picture(picture: Image.Image) -> torch.Tensor:
    """A picture of mode L, RGB or RGBA as float32 [h w c] in [0, 1]."""
    pixels = torch.from_numpy(np.asarray(picture).astype(np.float32) / 255.0)
    return pixels[..., None] if pixels.ndim == 2 else pixels
