"""Pixels to latents and back, and latents shown to networks that see a picture beside the noise."""

from __future__ import annotations

from typing import Annotated, Any

import torch

from engine.api import Bool, Conditioning, Image, Latent, Mask, NodeError, Range, Vae, imaging, node, require_room

__all__ = [
    "condition_editing",
    "condition_inpainting",
    "decode",
    "decode_tiled",
    "encode",
    "encode_for_inpainting",
    "encode_tiled",
]

SIDES = ("positive", "negative", "latent")
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
    return {"samples": vae.encode(_greyed(pixels, planes)), "noise_mask": _grown(planes, grow_mask_by).round()}


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


@node("InpaintModelConditioning", category="conditioning/inpaint", output_names=SIDES, lane="device")
def condition_inpainting(
    positive: Conditioning, negative: Conditioning, vae: Vae, pixels: Image, mask: Mask, noise_mask: Bool = True
) -> tuple[Conditioning, Conditioning, Latent]:
    """Show an inpainting network the picture with the masked part greyed out, and the mask.

    The latent is that of the whole picture; with `noise_mask`, sampling leaves the rest of it as it is.
    """
    vae = _loaded(vae)
    pixels, planes = _cropped(pixels[..., :3], mask, vae.downscale)
    shown = {"concat_latent_image": vae.encode(_greyed(pixels, planes)), "concat_mask": planes}
    latent: dict[str, Any] = {"samples": vae.encode(pixels)}
    if noise_mask:
        latent["noise_mask"] = planes
    return _shown(positive, shown), _shown(negative, shown), latent


@node(
    "InstructPixToPixConditioning",
    category="conditioning/instructpix2pix",
    output_names=SIDES,
    schema_form=True,
    lane="device",
)
def condition_editing(
    positive: Conditioning, negative: Conditioning, vae: Vae, pixels: Image
) -> tuple[Conditioning, Conditioning, Latent]:
    """Show an editing network the picture to edit; the latent is empty and of its size.

    Edges that do not fill a latent cell are cropped evenly.
    """
    picture = _loaded(vae).encode(pixels[..., :3])
    shown = {"concat_latent_image": picture}
    return _shown(positive, shown), _shown(negative, shown), {"samples": torch.zeros_like(picture)}


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


def _greyed(pixels: torch.Tensor, planes: torch.Tensor) -> torch.Tensor:
    """Image [b h w 3] with grey where the mask [b 1 h w], rounded, is 1."""
    return (pixels - 0.5) * (1.0 - planes.round()).squeeze(1)[..., None] + 0.5


def _grown(planes: torch.Tensor, pixels: int) -> torch.Tensor:
    """The mask with every 1 widened to a square of this edge; an even edge reaches one pixel further down and right."""
    if pixels == 0:
        return planes
    return 1.0 - imaging.erode(1.0 - planes.round().clamp(0, 1), pixels)


def _shown(conditioning: list[Any], shown: dict[str, Any]) -> list[Any]:
    return [[tokens, {**options, **shown}] for tokens, options in conditioning]
