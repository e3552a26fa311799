"""DPM-Solver++(2M) for the diffusion SDE."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

from engine.diffusion.noise import NoiseSource
from engine.diffusion.noise_path import VARIANCE_EXPLODING, NoisePath
from engine.diffusion.requests import Flow, Guide, Latent, Sigmas

__all__ = ["dpmpp_2m_sde"]


def dpmpp_2m_sde(
    x: Latent,
    sigmas: Sigmas,
    guide: Guide,
    noise: NoiseSource,
    *,
    path: NoisePath = VARIANCE_EXPLODING,
    eta: float = 1.0,
    s_noise: float = 1.0,
    correction: Literal["midpoint", "heun"] = "midpoint",
) -> Flow[Latent]:
    """A multistep exponential integrator with exact noise of each step; the last two predictions give the slope.

    One evaluation per step; the step onto sigma 0 returns `denoised`. Order of convergence: 2 (eta = 0).
    `correction` weighs the slope by the midpoint rule or by its exact integral.
    Source: Lu et al. 2022, arXiv:2211.01095, section 4 and appendix B (SDE-DPM-Solver++(2M)).
    """
    denoised_last = None
    h_last = 0.0
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield from guide(x, sigma)
        if sigma_next == 0:
            return denoised
        h = path.half_log_snr(sigma_next) - path.half_log_snr(sigma)
        alpha = path.alpha(sigma_next)
        gain = -math.expm1(-h * (1.0 + eta))
        x = x * (sigma_next / sigma * math.exp(-h * eta)) + denoised * (alpha * gain)
        if denoised_last is not None:
            slope = (denoised - denoised_last) * (h / h_last)
            weight = 0.5 * gain if correction == "midpoint" else 1.0 - gain / (h * (1.0 + eta))
            x = x + slope * (alpha * weight)
        if eta > 0 and s_noise > 0:
            amount = sigma_next * math.sqrt(-math.expm1(-2.0 * h * eta)) * s_noise
            x = x + noise(sigma, sigma_next) * amount
        denoised_last, h_last = denoised, h
    return x
