"""Ancestral sampling of the discrete diffusion chain."""

from __future__ import annotations

import math
from itertools import pairwise

from engine.diffusion.noise import NoiseSource
from engine.diffusion.requests import Flow, Guide, Latent, Sigmas

__all__ = ["ddpm"]


def ddpm(x: Latent, sigmas: Sigmas, guide: Guide, noise: NoiseSource) -> Flow[Latent]:
    """Draw from the posterior of the variance-preserving chain at every step.

    One evaluation per step. Weak order of convergence: 1. With a = 1/(1 + sigma²) as the chain's cumulative alpha.
    Source: Ho et al. 2020, arXiv:2006.11239, algorithm 2.
    """
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield from guide(x, sigma)
        eps = (x - denoised) / sigma
        total, total_next = 1.0 / (1.0 + sigma**2), 1.0 / (1.0 + sigma_next**2)
        alpha = total / total_next
        mean = (x * math.sqrt(total) - eps * ((1.0 - alpha) / math.sqrt(1.0 - total))) / math.sqrt(alpha)
        if sigma_next > 0:
            variance = (1.0 - alpha) * (1.0 - total_next) / (1.0 - total)
            mean = (mean + noise(sigma, sigma_next) * math.sqrt(variance)) / math.sqrt(total_next)
        x = mean
    return x
