"""The picture a control network is shown, at the size and with the channels it takes."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.core.errors import NodeError
from engine.imaging.resize import resize

__all__ = ["fitted_picture"]

_COLOURS = 3


def fitted_picture(image: Tensor, channels: int, height: int, width: int) -> Tensor:
    """Image [n h w c] in [0, 1] → [n channels height width]: its middle part of that aspect ratio, to the nearest.

    Transparency is dropped; a network of one channel is shown the mean of the colours.
    Raises NodeError for a picture without colours.
    """
    if image.ndim != 4 or image.shape[3] < _COLOURS:
        raise NodeError(f"An image must be [b h w 3], got {list(image.shape)}.", code="image_mismatch", input="image")
    pixels = image[..., :_COLOURS].movedim(3, 1).to(torch.float32)
    fitted = resize(pixels, width, height, "nearest-exact", "center")
    return fitted.mean(dim=1, keepdim=True) if channels == 1 else fitted
