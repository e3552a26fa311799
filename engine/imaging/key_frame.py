"""The loss of a video key frame, by the quantiser of H.264 in a JPEG coder.

Both transform blocks orthonormally and divide by a step, so equal steps lose equally much. What differs: H.264 predicts
blocks from their neighbours and smooths their borders, JPEG does neither. Source: ITU-T H.264 (08/2021) §8.5, the flat
scaling lists and Table 8-15 (chroma quantisers).
"""

from __future__ import annotations

import io

import torch
from PIL import Image

from engine.imaging.picture import from_picture, to_picture

__all__ = ["MAX_QUANTISER", "compress_like_key_frame", "key_frame_steps"]

MAX_QUANTISER = 51
_COARSE_CHROMA = (29, 30, 31, 32, 32, 33, 34, 34, 35, 35, 36, 36, 37, 37, 37, 38, 38, 38, 39, 39, 39, 39)
"""Chroma quantisers of the luma quantisers from 30 on; below, both are equal."""
_LUMA_RANGE, _CHROMA_RANGE = 255 / 219, 255 / 224
"""Video codes luma and chroma in fewer levels than JPEG, so a step spans more of JPEG's."""
_LARGEST_STEP = 255


def key_frame_steps(quantiser: int) -> tuple[int, int]:
    """Quantiser steps (luma, chroma) of H.264's `quantiser`, 0 to 51, in 8-bit full-range levels; at least 1.

    The step doubles every 6 and is 1 at quantiser 4.
    """
    chroma = quantiser if quantiser < 30 else _COARSE_CHROMA[quantiser - 30]
    steps = ((quantiser, _LUMA_RANGE), (chroma, _CHROMA_RANGE))
    luma_step, chroma_step = (
        min(max(round(2 ** ((number - 4) / 6) * scale), 1), _LARGEST_STEP) for number, scale in steps
    )
    return luma_step, chroma_step


def compress_like_key_frame(image: torch.Tensor, rate_factor: int) -> torch.Tensor:
    """One image [h w c] after compression with the steps of the quantiser equal to `rate_factor`; gives [h w 3].

    Sides are cut to even lengths (a side of 1 stays), colours are halved in resolution. Factors above 51 count as 51.
    """
    height, width = (max(side // 2 * 2, 1) for side in image.shape[:2])
    tables = [[step] * 64 for step in key_frame_steps(min(rate_factor, MAX_QUANTISER))]
    buffer = io.BytesIO()
    picture = to_picture(image[:height, :width]).convert("RGB")
    picture.save(buffer, "JPEG", qtables=tables, subsampling="4:2:0")
    buffer.seek(0)
    return from_picture(Image.open(buffer, formats=["JPEG"]).convert("RGB"))
