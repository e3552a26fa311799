"""SEEDS-2: a stochastic exponential integrator with one inner stage."""

from __future__ import annotations

import math
from itertools import pairwise

from engine.diffusion.noise import NoiseSource
from engine.diffusion.noise_path import VARIANCE_EXPLODING, NoisePath
from engine.diffusion.requests import Flow, Guide, Latent, Sigmas

__all__ = ["seeds_2"]


def seeds_2(
    x: Latent,
    sigmas: Sigmas,
    guide: Guide,
    noise: NoiseSource,
    *,
    path: NoisePath = VARIANCE_EXPLODING,
    eta: float = 1.0,
    s_noise: float = 1.0,
    r: float = 0.5,
) -> Flow[Latent]:
    """Predict at the fraction r of the way in lambda, then step with an extrapolation of both predictions.

    The noise of the inner stage is part of that of the whole step. Two evaluations per step; the step onto sigma 0
    returns `denoised`. Order of convergence: 2 (eta = 0). Source: Gonzalez et al. 2023, arXiv:2305.14267, algorithm 1.
    """
    weight = 1.0 / (2.0 * r)
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield from guide(x, sigma)
        if sigma_next == 0:
            return denoised
        start, end = path.half_log_snr(sigma), path.half_log_snr(sigma_next)
        h = end - start
        sigma_middle = path.sigma_at(start + r * h)
        inner = -math.expm1(-r * h * (1 + eta)) * path.alpha(sigma_middle)
        x_middle = x * (sigma_middle / sigma * math.exp(-r * h * eta)) + denoised * inner
        noises = (0.0, 0.0)
        if eta > 0 and s_noise > 0:
            noises = (noise(sigma, sigma_middle) * s_noise, noise(sigma_middle, sigma_next) * s_noise)
            x_middle = x_middle + noises[0] * (sigma_middle * math.sqrt(-math.expm1(-2 * r * h * eta)))
        denoised_middle = yield from guide(x_middle, sigma_middle)
        mixed = denoised * (1.0 - weight) + denoised_middle * weight
        outer = -math.expm1(-h * (1 + eta)) * path.alpha(sigma_next)
        x = x * (sigma_next / sigma * math.exp(-h * eta)) + mixed * outer
        if eta > 0 and s_noise > 0:
            early = math.sqrt(math.exp(-2 * (1 - r) * h * eta) - math.exp(-2 * h * eta))
            late = math.sqrt(-math.expm1(-2 * (1 - r) * h * eta))
            x = x + (noises[0] * early + noises[1] * late) * sigma_next
    return x
