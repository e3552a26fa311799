"""Pixels to latents and back."""

from __future__ import annotations

from typing import Annotated, Any

import torch

from engine.api import Image, Latent, Mask, NodeError, Range, Vae, imaging, node, require_room

__all__ = ["decode", "decode_tiled", "encode", "encode_for_inpainting", "encode_tiled"]

TileOverlap = Annotated[int, Range(0, 4096, step=32)]
TemporalSize = Annotated[int, Range(8, 4096, step=4)]
TemporalOverlap = Annotated[int, Range(4, 4096, step=4)]


@node("VAEDecode", title="VAE Decode", category="latent", lane="device")
def decode(samples: Latent, vae: Vae) -> Image:
    """Latent to image; in tiles when memory does not suffice for the whole."""
    return _loaded(vae).decode(samples["samples"])


@node("VAEEncode", title="VAE Encode", category="latent", lane="device")
def encode(pixels: Image, vae: Vae) -> Latent:
    """Image to latent. Edges that do not fill a latent cell are cropped evenly; transparency is ignored."""
    return {"samples": _loaded(vae).encode(pixels)}


@node("VAEEncodeForInpaint", title="VAE Encode (for Inpainting)", category="latent/inpaint", lane="device")
def encode_for_inpainting(
    pixels: Image, vae: Vae, mask: Mask, grow_mask_by: Annotated[int, Range(0, 64, step=1)] = 6
) -> Latent:
    """Image to latent with the masked part greyed out, to be filled anew.

    The mask is rounded to 0 and 1; the part that sampling may change is larger by `grow_mask_by` pixels in all.
    """
    vae = _loaded(vae)
    pixels, planes = _cropped(pixels[..., :3], mask, vae.downscale)
    is_hole = planes.round()
    greyed = (pixels - 0.5) * (1.0 - is_hole).squeeze(1)[..., None] + 0.5
    return {"samples": vae.encode(greyed), "noise_mask": _grown(planes, grow_mask_by).round()}


@node("VAEDecodeTiled", title="VAE Decode (Tiled)", category="_for_testing", lane="device")
def decode_tiled(
    samples: Latent,
    vae: Vae,
    tile_size: Annotated[int, Range(64, 4096, step=32)] = 512,
    overlap: TileOverlap = 64,
    temporal_size: TemporalSize = 64,
    temporal_overlap: TemporalOverlap = 8,
) -> Image:
    """Latent to image in overlapping tiles; sizes in pixels, and in frames for videos."""
    vae = _loaded(vae)
    overlap = min(overlap, tile_size // 4)
    return vae.decode_tiled(samples["samples"], tile=tile_size // vae.downscale, overlap=overlap // vae.downscale)


@node("VAEEncodeTiled", title="VAE Encode (Tiled)", category="_for_testing", lane="device")
def encode_tiled(
    pixels: Image,
    vae: Vae,
    tile_size: Annotated[int, Range(64, 4096, step=64)] = 512,
    overlap: TileOverlap = 64,
    temporal_size: TemporalSize = 64,
    temporal_overlap: TemporalOverlap = 8,
) -> Latent:
    """Image to latent in overlapping tiles; sizes in pixels, and in frames for videos."""
    return {"samples": _loaded(vae).encode_tiled(pixels, tile=tile_size, overlap=min(overlap, tile_size // 4))}


def _loaded(vae: Any) -> Any:
    if vae is None:
        raise NodeError(
            "The vae input is empty.",
            code="missing_autoencoder",
            hint="The checkpoint has no autoencoder; load one with Load VAE.",
            input="vae",
        )
    return vae


def _cropped(pixels: torch.Tensor, mask: torch.Tensor, cell_px: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Image [b h w c] and mask [b 1 h w] of the image's size, cropped evenly to whole latent cells."""
    height, width = pixels.shape[1:3]
    planes = imaging.mask_batch(mask)[:, None]
    require_room((max(len(pixels), len(planes)), height, width, pixels.shape[-1]), "mask")
    planes = torch.nn.functional.interpolate(planes, size=(height, width), mode="bilinear")
    top, left = height % cell_px // 2, width % cell_px // 2
    rows = slice(top, top + height // cell_px * cell_px)
    columns = slice(left, left + width // cell_px * cell_px)
    return pixels[:, rows, columns], planes[..., rows, columns]


def _grown(planes: torch.Tensor, pixels: int) -> torch.Tensor:
    """The mask with every 1 widened to a square of this edge; an even edge reaches one pixel further down and right."""
    if pixels == 0:
        return planes
    return 1.0 - imaging.erode(1.0 - planes.round().clamp(0, 1), pixels)
