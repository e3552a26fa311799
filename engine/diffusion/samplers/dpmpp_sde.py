"""DPM-Solver++ for the diffusion SDE, singlestep of second order."""

from __future__ import annotations

from itertools import pairwise

from engine.diffusion.noise import NoiseSource
from engine.diffusion.noise_path import VARIANCE_EXPLODING, NoisePath
from engine.diffusion.requests import Flow, Guide, Latent, Sigmas

__all__ = ["dpmpp_sde"]


def dpmpp_sde(
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
    """Two ancestral exponential steps: one to the fraction r of the way in lambda, one over the whole step.

    Two evaluations per step; the step onto sigma 0 returns `denoised`. Order of convergence: 2 (eta = 0).
    Source: Lu et al. 2022, arXiv:2211.01095; k-diffusion's `sample_dpmpp_sde`.
    """
    weight = 1.0 / (2.0 * r)
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield from guide(x, sigma)
        if sigma_next == 0:
            return denoised
        start, end = path.half_log_snr(sigma), path.half_log_snr(sigma_next)
        sigma_middle = path.sigma_at(start + r * (end - start))
        x_middle = _ancestral(path, x, denoised, sigma, sigma_middle, eta, s_noise, noise)
        denoised_middle = yield from guide(x_middle, sigma_middle)
        denoised = denoised * (1.0 - weight) + denoised_middle * weight
        x = _ancestral(path, x, denoised, sigma, sigma_next, eta, s_noise, noise)
    return x


def _ancestral(
    path: NoisePath,
    x: Latent,
    denoised: Latent,
    sigma: float,
    sigma_next: float,
    eta: float,
    s_noise: float,
    noise: NoiseSource,
) -> Latent:
    """An exponential step below sigma_next, then noise up to it, in the scale where alpha is 1."""
    level, level_next = sigma / path.alpha(sigma), sigma_next / path.alpha(sigma_next)
    step = VARIANCE_EXPLODING.ancestral_step(level, level_next, eta)
    ratio = step.sigma_down / level
    clean_scale = path.alpha(sigma_next)
    x = x * (ratio * clean_scale / path.alpha(sigma)) + denoised * (clean_scale * (1.0 - ratio))
    if step.sigma_up > 0:
        x = x + noise(sigma, sigma_next) * (clean_scale * step.sigma_up * s_noise)
    return x
