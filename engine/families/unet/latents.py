"""The latents and noise levels that several families of U-Nets share."""

from __future__ import annotations

from engine.diffusion.latent_format import LatentFormat
from engine.diffusion.sigma_table import DiscreteSigmaTable, scaled_linear_betas

__all__ = ["SD_LATENTS", "XL_LATENTS", "thousand_steps"]

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
