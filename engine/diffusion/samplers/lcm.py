"""Sampling of latent consistency networks."""

from __future__ import annotations

from itertools import pairwise

from engine.diffusion.noise import NoiseSource
from engine.diffusion.noise_path import VARIANCE_EXPLODING, NoisePath
from engine.diffusion.requests import Flow, Guide, Latent, Sigmas

__all__ = ["lcm"]


def lcm(
    x: Latent, sigmas: Sigmas, guide: Guide, noise: NoiseSource, *, path: NoisePath = VARIANCE_EXPLODING
) -> Flow[Latent]:
    """Jump to `denoised` and noise it to the next level.

    One evaluation per step. No integration: the network itself maps any level to the clean end, so no order applies.
    Source: Luo et al. 2023, arXiv:2310.04378, algorithm 3.
    """
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield from guide(x, sigma)
        x = denoised
        if sigma_next > 0:
            x = denoised * path.alpha(sigma_next) + noise(sigma, sigma_next) * sigma_next
    return x
