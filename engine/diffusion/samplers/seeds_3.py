"""SEEDS-3: a stochastic exponential integrator with two inner stages."""

from __future__ import annotations

import math
from itertools import pairwise

from engine.diffusion.noise import NoiseSource
from engine.diffusion.noise_path import VARIANCE_EXPLODING, NoisePath
from engine.diffusion.requests import Flow, Guide, Latent, Sigmas

__all__ = ["seeds_3"]


def seeds_3(
    x: Latent,
    sigmas: Sigmas,
    guide: Guide,
    noise: NoiseSource,
    *,
    path: NoisePath = VARIANCE_EXPLODING,
    eta: float = 1.0,
    s_noise: float = 1.0,
    r_1: float = 1 / 3,
    r_2: float = 2 / 3,
) -> Flow[Latent]:
    """Predict at two inner points of each step in lambda; each stage extrapolates with the slope to the stage before.

    One noise path runs through all stages. Three evaluations per step; the step onto sigma 0 returns `denoised`.
    Order of convergence: 3 (eta = 0). Source: Gonzalez et al. 2023, arXiv:2305.14267, algorithm 2.
    """
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield from guide(x, sigma)
        if sigma_next == 0:
            return denoised
        start, h = path.half_log_snr(sigma), path.half_log_snr(sigma_next) - path.half_log_snr(sigma)
        levels = [sigma, path.sigma_at(start + r_1 * h), path.sigma_at(start + r_2 * h), sigma_next]
        noises = []
        if eta > 0 and s_noise > 0:
            noises = [noise(a, b) * s_noise for a, b in pairwise(levels)]
        slope: Latent | float = 0.0
        stage = x
        for number, place in enumerate((r_1, r_2, 1.0), start=1):
            h_eta = place * h * (1 + eta)
            gain, alpha = -math.expm1(-h_eta), path.alpha(levels[number])
            stage = x * (levels[number] / sigma * math.exp(-place * h * eta)) + denoised * (alpha * gain)
            stage = stage + slope * (alpha * place * (1.0 - gain / h_eta))
            for weight, values in zip(_noise_weights(place, (r_1, r_2, 1.0), 2 * h * eta), noises, strict=False):
                stage = stage + values * (levels[number] * weight)
            if number < 3:
                slope = ((yield from guide(stage, levels[number])) - denoised) / place
        x = stage
    return x


def _noise_weights(place: float, ends: tuple[float, ...], decay: float) -> list[float]:
    """What is left at `place` of the unit noise of each piece before it, in units of the level there."""
    pieces = [(a, b) for a, b in pairwise((0.0, *ends)) if b <= place]
    return [math.sqrt(math.exp(-decay * (place - b)) - math.exp(-decay * (place - a))) for a, b in pieces]
