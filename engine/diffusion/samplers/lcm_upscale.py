"""Sampling of latent consistency models on a picture that grows between its steps."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from engine.diffusion.noise import GaussianNoise
from engine.diffusion.noise_path import VARIANCE_EXPLODING, NoisePath
from engine.diffusion.requests import Flow, Guide, Latent, Sigmas

__all__ = ["lcm_upscale"]


def lcm_upscale(
    x: Latent,
    sigmas: Sigmas,
    guide: Guide,
    noise: GaussianNoise,
    *,
    ratio: float,
    num_steps: int,
    resize: Callable[[Latent, int, int], Latent],
    path: NoisePath = VARIANCE_EXPLODING,
) -> Flow[Latent]:
    """Jump to `denoised`, enlarge it, and noise it to the next level.

    One evaluation per step. No order applies, as for `lcm`. Sizes grow evenly from the latent's to `ratio` times it.
    Source: Luo et al. 2023, arXiv:2310.04378, algorithm 3, with a larger latent after each of the steps that grow.

    Args:
        ratio: edge of the result over that of the latent.
        num_steps: over how many steps it grows; -1 for all that another step follows.
        resize: resize(latent, width, height).
    """
    height, width = x.shape[-2:]
    possible = max(len(sigmas) - 2, 0)
    growing = possible if num_steps < 0 else min(num_steps, possible)
    for number, (sigma, sigma_next) in enumerate(pairwise(sigmas), start=1):
        denoised = yield from guide(x, sigma)
        if number <= growing:
            scale = 1.0 + (ratio - 1.0) * number / growing
            denoised = resize(denoised, max(1, round(width * scale)), max(1, round(height * scale)))
        x = denoised
        if sigma_next > 0:
            x = denoised * path.alpha(sigma_next) + noise.like(denoised) * sigma_next
    return x
