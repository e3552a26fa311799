"""What sampling nodes show of a latent while it is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from engine.api.context import Context
from engine.core.errors import AtelierError
from engine.diffusion.latent_format import LatentFormat

__all__ = ["latent_viewer"]

_DECODERS = {"sd1": "taesd_decoder", "sdxl": "taesdxl_decoder", "sd3": "taesd3_decoder", "flux": "taef1_decoder"}
"""Latent format → published file of `models/vae_approx` that decodes it quickly; any other NAME: `taeNAME_decoder`."""

_SUFFIXES = (".safetensors", ".pth")

Viewer = Callable[[Tensor], "Tensor | None"]
"""viewer(latent [b c h w] in network scale): a picture [h w 3] of the first item, or None."""


def latent_viewer(ctx: Context, latent_format: LatentFormat) -> Viewer | None:
    """How latents of a format are looked at, by the preview method of the job; None when it wants no previews.

    "taesd" decodes with the tiny decoder, and falls back on the linear map, with a warning, where its file is missing.
    "latent2rgb" is the linear map; "auto" is the map where there is one, else the decoder.
    """
    method = ctx.preview_method
    if method == "none":
        return None
    wants_decoder = method == "taesd" or (method == "auto" and not latent_format.rgb_factors)
    decoder = _decoder(ctx, latent_format, warns=method == "taesd") if wants_decoder else None
    return (lambda latent: _mapped(latent_format, latent)) if decoder is None else decoder.picture


def _mapped(latent_format: LatentFormat, latent: Tensor) -> Tensor | None:
    pictures = latent_format.preview(latent[:1])
    return None if pictures is None else pictures[0]


def _decoder(ctx: Context, latent_format: LatentFormat, *, warns: bool) -> Any:
    name = _DECODERS.get(latent_format.name, f"tae{latent_format.name}_decoder")
    problem: AtelierError | None = None
    for suffix in _SUFFIXES:
        try:
            path = ctx.model_path("vae_approx", name + suffix)
        except AtelierError as error:
            problem = problem or error
            continue
        try:
            return ctx.models.open_preview_decoder(path)
        except AtelierError as error:
            problem = error
            break
    if warns and problem is not None:
        ctx.warn(f"Previews are coarse colours: {problem.message}")
    return None
