"""Extended reverse-time SDE solver."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

from engine.diffusion.noise import NoiseSource
from engine.diffusion.noise_path import VARIANCE_EXPLODING, NoisePath
from engine.diffusion.requests import Flow, Guide, Latent, Sigmas

__all__ = ["er_noise_scale", "er_sde", "reverse_time_noise_scale"]

_POINTS = 200
"""Of the Riemann sum of the published code."""


def er_noise_scale(level: float) -> float:
    """The paper's best: level·(exp(level^0.3) + 10)."""
    return level * (math.exp(level**0.3) + 10.0)


def reverse_time_noise_scale(level: float, eta: float) -> float:
    """level^(1 + eta): the ODE for eta 0, the plain reverse SDE for eta 1."""
    return level ** (1.0 + eta)


def er_sde(
    x: Latent,
    sigmas: Sigmas,
    guide: Guide,
    noise: NoiseSource,
    *,
    path: NoisePath = VARIANCE_EXPLODING,
    s_noise: float = 1.0,
    max_stage: int = 3,
    noise_scale: Callable[[float], float] = er_noise_scale,
) -> Flow[Latent]:
    """A family of reverse SDEs, one for each `noise_scale`, solved with up to two derivatives.

    One evaluation per step; the step onto sigma 0 returns `denoised`. Weak order of convergence: 1 in the noise; the
    deterministic part is of order `max_stage`, but of 2 at most, since the first steps are of lower order; over more
    than a hundred steps the error of its numerical integrals, which is of first order, shows.
    Source: Cui et al. 2023, arXiv:2309.06169, algorithms 1 to 3 (ER-SDE-Solver).
    """
    level_1 = level_2 = 0.0
    denoised_last = slope_last = None
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield from guide(x, sigma)
        if sigma_next == 0:
            return denoised
        alpha_next = path.alpha(sigma_next)
        level, level_next = math.exp(-path.half_log_snr(sigma)), math.exp(-path.half_log_snr(sigma_next))
        keep = noise_scale(level_next) / noise_scale(level)
        x = x * (alpha_next / path.alpha(sigma) * keep) + denoised * (alpha_next * (1.0 - keep))
        slope = None
        if denoised_last is not None and max_stage >= 2:
            dt = level_next - level
            first, second = _integrals(noise_scale, level, level_next)
            slope = (denoised - denoised_last) / (level - level_1)
            x = x + slope * (alpha_next * (dt + first * noise_scale(level_next)))
            if slope_last is not None and max_stage >= 3:
                curvature = (slope - slope_last) / ((level - level_2) / 2)
                x = x + curvature * (alpha_next * (dt**2 / 2 + second * noise_scale(level_next)))
        if s_noise > 0:
            amount = math.sqrt(max(level_next**2 - level**2 * keep**2, 0.0))
            x = x + noise(sigma, sigma_next) * (alpha_next * s_noise * amount)
        denoised_last, slope_last = denoised, slope
        level_1, level_2 = level, level_1
    return x


def _integrals(noise_scale: Callable[[float], float], level: float, level_next: float) -> tuple[float, float]:
    """Integrals of 1/scale and (l - level)/scale from level_next up to level, by a left Riemann sum."""
    width = (level - level_next) / _POINTS
    first = second = 0.0
    for point in range(_POINTS):
        place = level_next + point * width
        first += width / noise_scale(place)
        second += width * (place - level) / noise_scale(place)
    return first, second
