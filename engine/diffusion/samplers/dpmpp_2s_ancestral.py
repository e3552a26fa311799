"""DPM-Solver++(2S) with fresh noise at every step."""

from __future__ import annotations

import math
from itertools import pairwise

from engine.diffusion.noise import NoiseSource
from engine.diffusion.noise_path import VARIANCE_EXPLODING, NoisePath
from engine.diffusion.requests import Flow, Guide, Latent, Sigmas
from engine.diffusion.samplers.evaluation import Evaluate, guided

__all__ = ["dpmpp_2s_ancestral"]


def dpmpp_2s_ancestral(
    x: Latent,
    sigmas: Sigmas,
    guide: Guide,
    noise: NoiseSource,
    *,
    path: NoisePath = VARIANCE_EXPLODING,
    eta: float = 1.0,
    s_noise: float = 1.0,
    evaluate: Evaluate = guided,
) -> Flow[Latent]:
    """A singlestep exponential integrator of the data prediction, then noise up to the next level.

    Two evaluations per step, one where the step goes down to 0. Order of convergence: 2 (eta = 0).
    Source: Lu et al. 2022, arXiv:2211.01095, algorithm 1 with r = 1/2. Its CFG++ form starts the whole step with the
    noise of the second evaluation.
    """
    for sigma, sigma_next in pairwise(sigmas):
        at = yield from evaluate(guide, x, sigma)
        start, denoised = at.x, at.denoised
        step = path.ancestral_step(sigma, sigma_next, eta)
        if step.sigma_down > 0:
            sigma_middle = _middle(path, sigma, step.sigma_down)
            x_middle = _exponential_step(path, start, denoised, sigma, sigma_middle)
            middle = yield from evaluate(guide, x_middle, sigma_middle)
            start, denoised = middle.start_for(x, at.denoised), middle.denoised
        x = _exponential_step(path, start, denoised, sigma, step.sigma_down)
        if step.sigma_up > 0:
            x = x * step.rescale + noise(sigma, sigma_next) * (s_noise * step.sigma_up)
    return x


def _middle(path: NoisePath, sigma: float, sigma_next: float) -> float:
    """Half way in lambda. A flow starts at lambda = -infinity; there just below the first level stands for it."""
    start = path.half_log_snr(sigma)
    if math.isinf(start):
        return 0.9999 * sigma
    return path.sigma_at((start + path.half_log_snr(sigma_next)) / 2)


def _exponential_step(path: NoisePath, x: Latent, denoised: Latent, sigma: float, sigma_next: float) -> Latent:
    """(sigma'/sigma)·x - alpha'·expm1(-h)·denoised, with alpha'·exp(-h) written as sigma'·alpha/sigma."""
    ratio = sigma_next / sigma
    return x * ratio + denoised * (path.alpha(sigma_next) - ratio * path.alpha(sigma))
