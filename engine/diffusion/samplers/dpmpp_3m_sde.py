"""DPM-Solver++(3M) for the diffusion SDE."""

from __future__ import annotations

import math
from itertools import pairwise

from engine.diffusion.noise import NoiseSource
from engine.diffusion.noise_path import VARIANCE_EXPLODING, NoisePath
from engine.diffusion.requests import Flow, Guide, Latent, Sigmas

__all__ = ["dpmpp_3m_sde"]


def dpmpp_3m_sde(
    x: Latent,
    sigmas: Sigmas,
    guide: Guide,
    noise: NoiseSource,
    *,
    path: NoisePath = VARIANCE_EXPLODING,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Flow[Latent]:
    """A multistep exponential integrator over the parabola through the last three predictions.

    One evaluation per step; the step onto sigma 0 returns `denoised`. Order of convergence: 2 (eta = 0), with a smaller
    constant than (2M): the published form gives the curvature half the weight that its integral has.
    Source: k-diffusion's `sample_dpmpp_3m_sde`, after Lu et al. 2022, arXiv:2211.01095.
    """
    denoised_1 = denoised_2 = None
    h_1 = h_2 = 0.0
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield from guide(x, sigma)
        if sigma_next == 0:
            return denoised
        h = path.half_log_snr(sigma_next) - path.half_log_snr(sigma)
        alpha = path.alpha(sigma_next)
        h_eta = h * (1.0 + eta)
        x = x * (sigma_next / sigma * math.exp(-h * eta)) - denoised * (alpha * math.expm1(-h_eta))
        phi_2 = math.expm1(-h_eta) / h_eta + 1.0
        if denoised_1 is not None and denoised_2 is not None:
            r_0, r_1 = h_1 / h, h_2 / h
            slope_0 = (denoised - denoised_1) / r_0
            slope_1 = (denoised_1 - denoised_2) / r_1
            slope = slope_0 + (slope_0 - slope_1) * (r_0 / (r_0 + r_1))
            curvature = (slope_0 - slope_1) / (r_0 + r_1)
            phi_3 = phi_2 / h_eta - 0.5
            x = x + slope * (alpha * phi_2) - curvature * (alpha * phi_3)
        elif denoised_1 is not None:
            x = x + (denoised - denoised_1) * (h / h_1 * alpha * phi_2)
        if eta > 0 and s_noise > 0:
            x = x + noise(sigma, sigma_next) * (sigma_next * math.sqrt(-math.expm1(-2.0 * h * eta)) * s_noise)
        denoised_1, denoised_2 = denoised, denoised_1
        h_1, h_2 = h, h_1
    return x
