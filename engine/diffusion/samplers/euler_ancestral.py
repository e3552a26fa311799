"""Euler's method with fresh noise at every step."""

from __future__ import annotations

from itertools import pairwise

from engine.diffusion.noise import NoiseSource
from engine.diffusion.noise_path import VARIANCE_EXPLODING, NoisePath
from engine.diffusion.requests import Flow, Guide, Latent, Sigmas
from engine.diffusion.samplers.evaluation import Evaluate, guided

__all__ = ["euler_ancestral"]


def euler_ancestral(
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
    """Step below the next level with Euler, then add noise up to it.

    One evaluation per step. Order of convergence: 1 (eta = 0, where it is `euler`); weak order 1 otherwise.
    Source: Song et al. 2021, arXiv:2010.02502, equation 16; k-diffusion's `sample_euler_ancestral`.
    """
    for sigma, sigma_next in pairwise(sigmas):
        at = yield from evaluate(guide, x, sigma)
        step = path.ancestral_step(sigma, sigma_next, eta)
        x = at.x + (at.x - at.denoised) / sigma * (step.sigma_down - sigma)
        if step.sigma_up > 0:
            x = x * step.rescale + noise(sigma, sigma_next) * (s_noise * step.sigma_up)
    return x
