"""DPM-Solver-2: a midpoint method in log sigma."""

from __future__ import annotations

import math
from itertools import pairwise

from engine.diffusion.requests import Flow, Guide, Latent, Sigmas

__all__ = ["dpm_2"]


def dpm_2(x: Latent, sigmas: Sigmas, guide: Guide) -> Flow[Latent]:
    """Step with the slope at the geometric mean of both levels.

    Two evaluations per step; the step onto sigma 0 is a plain Euler step. Order of convergence: 2.
    Source: Lu et al. 2022, arXiv:2206.00927, algorithm 1, in k-diffusion's form with Euler half steps.
    """
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield from guide(x, sigma)
        slope = (x - denoised) / sigma
        if sigma_next > 0:
            sigma_middle = math.sqrt(sigma * sigma_next)
            x_middle = x + slope * (sigma_middle - sigma)
            denoised = yield from guide(x_middle, sigma_middle)
            slope = (x_middle - denoised) / sigma_middle
        x = x + slope * (sigma_next - sigma)
    return x
