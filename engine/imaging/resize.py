"""Resizing of images, masks and latents: one function, all methods.

Interpolation by torch uses half-pixel centres without antialiasing; `lanczos` goes through Pillow in 8 bits per
channel; `bislerp` is in slerp.py. Sizes are in units of the tensor's own grid (pixels, or latent cells).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from PIL import Image

from engine.core.errors import NodeError
from engine.imaging.picture import from_picture, to_picture
from engine.imaging.shape import mask_batch
from engine.imaging.slerp import resize_bislerp

__all__ = ["RESIZE_METHODS", "center_crop_to_aspect", "resize", "resize_images", "resize_masks"]

RESIZE_METHODS = ("nearest-exact", "bilinear", "area", "bicubic", "lanczos", "bislerp")


def resize(tensor: torch.Tensor, width: int, height: int, method: str, crop: str = "disabled") -> torch.Tensor:
    """Resize [b c h w], or [b c t h w] frame by frame, to `height` × `width`.

    Args:
        method: one of RESIZE_METHODS.
        crop: "center" first cuts the middle part of the target's aspect ratio, "disabled" stretches.

    Raises NodeError for a size below 1 or an unknown method.
    """
    if method not in RESIZE_METHODS:
        raise NodeError(f"There is no resize method {method!r}.", code="bad_value", hint=", ".join(RESIZE_METHODS))
    if width < 1 or height < 1:
        raise NodeError(
            f"Cannot resize to {width}×{height}.", code="bad_size", hint="Width and height must be at least 1."
        )
    if tensor.ndim == 5:
        batch, frames = tensor.shape[0], tensor.shape[2]
        flat = tensor.movedim(2, 1).flatten(0, 1)
        return resize(flat, width, height, method, crop).unflatten(0, (batch, frames)).movedim(1, 2)
    if crop == "center":
        tensor = center_crop_to_aspect(tensor, width, height)
    if method == "bislerp":
        return resize_bislerp(tensor, width, height)
    if method == "lanczos":
        return _resize_lanczos(tensor, width, height)
    return F.interpolate(tensor, size=(height, width), mode=method)


def center_crop_to_aspect(tensor: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """The largest centred part of [… h w] with the aspect ratio width : height. Margins are rounded to even cuts."""
    old_height, old_width = tensor.shape[-2:]
    old_aspect, new_aspect = old_width / old_height, width / height
    left = top = 0
    if old_aspect > new_aspect:
        left = round((old_width - old_width * (new_aspect / old_aspect)) / 2)
    elif old_aspect < new_aspect:
        top = round((old_height - old_height * (old_aspect / new_aspect)) / 2)
    # An extreme ratio may round to nothing; one row or column always stays.
    left, top = min(left, (old_width - 1) // 2), min(top, (old_height - 1) // 2)
    return tensor[..., top : old_height - top, left : old_width - left]


def resize_images(image: torch.Tensor, width: int, height: int, method: str, crop: str = "disabled") -> torch.Tensor:
    """`resize` for images [b h w c]."""
    return resize(image.movedim(-1, 1), width, height, method, crop).movedim(1, -1)


def resize_masks(mask: torch.Tensor, width: int, height: int, method: str = "bilinear") -> torch.Tensor:
    """`resize` for masks (see `mask_batch`); gives [b height width]. A mask of that size is returned unchanged."""
    batch = mask_batch(mask)
    if batch.shape[-2:] == (height, width):
        return batch
    return resize(batch[:, None], width, height, method)[:, 0]


def _resize_lanczos(tensor: torch.Tensor, width: int, height: int) -> torch.Tensor:
    if tensor.shape[1] not in (1, 3, 4):
        raise NodeError(
            f"lanczos works on images with 1, 3 or 4 channels, this one has {tensor.shape[1]}.",
            code="bad_value",
            hint="Choose another method.",
        )
    pictures = (to_picture(item.movedim(0, -1)) for item in tensor)
    resized = [from_picture(p.resize((width, height), Image.Resampling.LANCZOS)).movedim(-1, 0) for p in pictures]
    return torch.stack(resized).to(tensor)
