"""DPM-Solver-2 with fresh noise at every step."""

from __future__ import annotations

import math
from itertools import pairwise

from engine.diffusion.noise import NoiseSource
from engine.diffusion.noise_path import VARIANCE_EXPLODING, NoisePath
from engine.diffusion.requests import Flow, Guide, Latent, Sigmas

__all__ = ["dpm_2_ancestral"]


def dpm_2_ancestral(
    x: Latent,
    sigmas: Sigmas,
    guide: Guide,
    noise: NoiseSource,
    *,
    path: NoisePath = VARIANCE_EXPLODING,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Flow[Latent]:
    """Step below the next level with a midpoint step in log sigma, then add noise up to it.

    Two evaluations per step, one where the step goes down to 0. Order of convergence: 2 (eta = 0).
    Source: k-diffusion's `sample_dpm_2_ancestral`, after Lu et al. 2022, arXiv:2206.00927.
    """
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield from guide(x, sigma)
        step = path.ancestral_step(sigma, sigma_next, eta)
        slope = (x - denoised) / sigma
        if step.sigma_down > 0:
            sigma_middle = math.sqrt(sigma * step.sigma_down)
            x_middle = x + slope * (sigma_middle - sigma)
            denoised = yield from guide(x_middle, sigma_middle)
            slope = (x_middle - denoised) / sigma_middle
        x = x + slope * (step.sigma_down - sigma)
        if step.sigma_up > 0:
            x = x * step.rescale + noise(sigma, sigma_next) * (s_noise * step.sigma_up)
    return x
