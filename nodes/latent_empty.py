"""Latents to start from: zeros, in the layout of each family."""

from __future__ import annotations

from typing import Annotated

import torch

from engine.api import MAX_DIMENSION, BatchSize, Dimension, Latent, Range, node, require_room

__all__ = [
    "empty_chroma_radiance_latent",
    "empty_cosmos_latent",
    "empty_hunyuan_image_latent",
    "empty_hunyuan_video_latent",
    "empty_latent_image",
    "empty_ltx_video_latent",
    "empty_mochi_latent",
    "empty_sd3_latent",
    "empty_stable_cascade_latents",
]

Side = Annotated[int, Range(16, MAX_DIMENSION, step=16)]
CoarseSide = Annotated[int, Range(64, MAX_DIMENSION, step=32)]
CascadeSide = Annotated[int, Range(256, MAX_DIMENSION, step=8)]


def _zeros(*shape: int) -> Latent:
    if shape[0] > 1:
        largest = "batch_size"
    else:
        largest = "length" if len(shape) == 5 and shape[2] > 1 else "width"
    return {"samples": torch.zeros(require_room(shape, largest))}


def _video_zeros(batch_size: int, channels: int, length: int, height: int, width: int, cell: tuple[int, int]) -> Latent:
    """Zeros [b c t h w]. `cell` is (frames, pixels) to a latent cell; the first frame is a cell of its own."""
    frames_per_cell, pixels_per_cell = cell
    frames = (length - 1) // frames_per_cell + 1
    return _zeros(batch_size, channels, frames, height // pixels_per_cell, width // pixels_per_cell)


@node("EmptyLatentImage", title="Empty Latent Image", category="latent")
def empty_latent_image(width: Dimension = 512, height: Dimension = 512, batch_size: BatchSize = 1) -> Latent:
    """Zeros in the SD latent layout, [b 4 h/8 w/8]. Samplers of families with other channel counts widen them."""
    return _zeros(batch_size, 4, height // 8, width // 8)


@node("EmptySD3LatentImage", category="latent/sd3", schema_form=True)
def empty_sd3_latent(width: Side = 1024, height: Side = 1024, batch_size: BatchSize = 1) -> Latent:
    """Zeros in the SD3 latent layout, [b 16 h/8 w/8]."""
    return _zeros(batch_size, 16, height // 8, width // 8)


@node("EmptyHunyuanImageLatent", title="EmptyHunyuanImageLatent", category="latent")
def empty_hunyuan_image_latent(
    width: CoarseSide = 2048, height: CoarseSide = 2048, batch_size: BatchSize = 1
) -> Latent:
    """Zeros in the HunyuanImage 2.1 latent layout, [b 64 h/32 w/32]."""
    return _zeros(batch_size, 64, height // 32, width // 32)


@node("EmptyChromaRadianceLatentImage", category="latent/chroma_radiance", schema_form=True)
def empty_chroma_radiance_latent(width: Side = 1024, height: Side = 1024, batch_size: BatchSize = 1) -> Latent:
    """Zeros in the layout of Chroma Radiance, which works on pixels: [b 3 h w]."""
    return _zeros(batch_size, 3, height, width)


@node(
    "StableCascade_EmptyLatentImage",
    category="latent/stable_cascade",
    output_names=("stage_c", "stage_b"),
    schema_form=True,
)
def empty_stable_cascade_latents(
    width: CascadeSide = 1024,
    height: CascadeSide = 1024,
    compression: Annotated[int, Range(4, 128, step=1)] = 42,
    batch_size: BatchSize = 1,
) -> tuple[Latent, Latent]:
    """Zeros for the two stages of Stable Cascade: [b 16 h/compression w/compression] and [b 4 h/4 w/4]."""
    coarse = _zeros(batch_size, 16, height // compression, width // compression)
    return coarse, _zeros(batch_size, 4, height // 4, width // 4)


@node("EmptyHunyuanLatentVideo", title="EmptyHunyuanLatentVideo", category="latent/video")
def empty_hunyuan_video_latent(
    width: Side = 848,
    height: Side = 480,
    length: Annotated[int, Range(1, MAX_DIMENSION, step=4)] = 25,
    batch_size: BatchSize = 1,
) -> Latent:
    """Zeros in the HunyuanVideo latent layout (also Wan 2.1), [b 16 (t-1)/4+1 h/8 w/8]."""
    return _video_zeros(batch_size, 16, length, height, width, (4, 8))


@node("EmptyMochiLatentVideo", category="latent/video", schema_form=True)
def empty_mochi_latent(
    width: Side = 848,
    height: Side = 480,
    length: Annotated[int, Range(7, MAX_DIMENSION, step=6)] = 25,
    batch_size: BatchSize = 1,
) -> Latent:
    """Zeros in the Mochi latent layout, [b 12 (t-1)/6+1 h/8 w/8]."""
    return _video_zeros(batch_size, 12, length, height, width, (6, 8))


@node("EmptyCosmosLatentVideo", category="latent/video", schema_form=True)
def empty_cosmos_latent(
    width: Side = 1280,
    height: Side = 704,
    length: Annotated[int, Range(1, MAX_DIMENSION, step=8)] = 121,
    batch_size: BatchSize = 1,
) -> Latent:
    """Zeros in the Cosmos 1 latent layout, [b 16 (t-1)/8+1 h/8 w/8]."""
    return _video_zeros(batch_size, 16, length, height, width, (8, 8))


@node("EmptyLTXVLatentVideo", category="latent/video/ltxv", schema_form=True)
def empty_ltx_video_latent(
    width: CoarseSide = 768,
    height: CoarseSide = 512,
    length: Annotated[int, Range(1, MAX_DIMENSION, step=8)] = 97,
    batch_size: BatchSize = 1,
) -> Latent:
    """Zeros in the LTX-Video latent layout, [b 128 (t-1)/8+1 h/32 w/32]."""
    return _video_zeros(batch_size, 128, length, height, width, (8, 32))
