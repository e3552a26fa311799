"""The latents and noise levels that several families of U-Nets share."""

from __future__ import annotations

import re
from dataclasses import replace

import torch
from torch import Tensor

from engine.core.errors import CheckpointError
from engine.diffusion.latent_format import LatentFormat
from engine.diffusion.sigma_table import DiscreteSigmaTable, scaled_linear_betas
from engine.weights.checkpoint import Checkpoint

__all__ = [
    "COLOURS_MARK",
    "LATENTS_ENTRY",
    "SD_LATENTS",
    "XL_LATENTS",
    "colours_mark",
    "thousand_steps",
    "with_marked_colours",
]

COLOURS_MARK = "atelier.latent_colours"
"""[channels + 1, 3]: the colours of a file's own latents at network scale, one row a channel, and what is added."""

LATENTS_ENTRY = "atelier.latents"
"""Header entry with the name of such latents; the tiny decoder for NAME is `taeNAME_decoder`."""

_NAME = re.compile(r"[a-z0-9_]{1,40}")

SD_LATENTS = LatentFormat(
    name="sd1",
    num_channels=4,
    downscale=8,
    scale=0.18215,
    # Least-squares fit of pixels to latents; source: Kevin Turner, diffusers forum, "Decoding latents to RGB".
    rgb_factors=((0.298, 0.207, 0.208), (0.187, 0.286, 0.173), (-0.158, 0.189, 0.264), (-0.184, -0.271, -0.473)),
    grey=(0.8223, -0.6876, 0.6364, 0.1380),
)
"""Of Stable Diffusion 1 and 2."""

XL_LATENTS = LatentFormat(
    name="sdxl",
    num_channels=4,
    downscale=8,
    scale=0.13025,
    # Source: T. A. Vass, "Explaining the SDXL latent space", Hugging Face blog: colours in [0, 255] by channel.
    rgb_factors=tuple(
        (red / 127.5, green / 127.5, blue / 127.5)
        for red, green, blue in ((60, 60, 60), (-60, -5, 10), (25, 15, -5), (-70, -50, -35))
    ),
    rgb_bias=(150 / 127.5 - 1, 140 / 127.5 - 1, 130 / 127.5 - 1),
)
"""Of Stable Diffusion XL and its refiner."""


def thousand_steps() -> DiscreteSigmaTable:
    """The levels of 1000 training steps with betas from 0.00085 to 0.012, linear in their roots."""
    return DiscreteSigmaTable.from_betas(scaled_linear_betas())


def with_marked_colours(latents: LatentFormat, checkpoint: Checkpoint) -> LatentFormat:
    """The format with the colours a file states for latents of its own; without that mark the format as it is.

    The format's name changes with them, since decoders made for the family's latents do not fit these: to what the
    header says, else "own". Raises CheckpointError when the mark has another shape or numbers that are none.
    """
    if COLOURS_MARK not in checkpoint.tensors:
        return latents
    colours = checkpoint.tensor(COLOURS_MARK).double()
    if colours.shape != (latents.num_channels + 1, 3):
        raise CheckpointError(
            f"{COLOURS_MARK} has the shape {list(colours.shape)}; colours of {latents.num_channels} channels have "
            f"[{latents.num_channels + 1}, 3].",
            code="bad_mark",
            hint="Export the model again, or remove this key from the file.",
        )
    if not colours.isfinite().all():
        raise CheckpointError(
            f"{COLOURS_MARK} holds numbers that are not finite.",
            code="bad_mark",
            hint="Export the model again, or remove this key from the file.",
        )
    *factors, bias = ((float(red), float(green), float(blue)) for red, green, blue in colours.tolist())
    stated = checkpoint.metadata.get(LATENTS_ENTRY, "")
    name = stated if _NAME.fullmatch(stated) else "own"
    return replace(latents, name=name, rgb_factors=tuple(factors), rgb_bias=bias, grey=())


def colours_mark(latents: LatentFormat, family: LatentFormat) -> dict[str, Tensor]:
    """The mark of a format that came from `with_marked_colours`; none for the family's own."""
    is_family = (latents.rgb_factors, latents.rgb_bias) == (family.rgb_factors, family.rgb_bias)
    return {} if is_family else {COLOURS_MARK: torch.tensor([*latents.rgb_factors, latents.rgb_bias])}
