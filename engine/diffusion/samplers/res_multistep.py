"""The refined exponential solver, multistep of second order."""

from __future__ import annotations

import math
from itertools import pairwise

from engine.diffusion.noise import NoiseSource
from engine.diffusion.noise_path import VARIANCE_EXPLODING, NoisePath
from engine.diffusion.requests import Flow, Guide, Latent, Sigmas
from engine.diffusion.samplers.evaluation import Evaluate, guided

__all__ = ["res_multistep"]


def res_multistep(
    x: Latent,
    sigmas: Sigmas,
    guide: Guide,
    noise: NoiseSource,
    *,
    path: NoisePath = VARIANCE_EXPLODING,
    eta: float = 0.0,
    s_noise: float = 1.0,
    evaluate: Evaluate = guided,
) -> Flow[Latent]:
    """An exponential integrator whose two weights integrate the line through the last two predictions exactly.

    One evaluation per step; the first step and steps onto sigma 0 are Euler steps. Order of convergence: 2 (eta = 0).
    With eta > 0 each step goes below the next level and noise is added up to it.
    Source: Zhang et al. 2023, arXiv:2308.02157, equation 28.
    """
    kept_last, sigma_last, sigma_down_last = None, 0.0, 0.0
    for sigma, sigma_next in pairwise(sigmas):
        at = yield from evaluate(guide, x, sigma)
        step = path.ancestral_step(sigma, sigma_next, eta)
        if kept_last is None or step.sigma_down == 0:
            x = at.x + (at.x - at.denoised) / sigma * (step.sigma_down - sigma)
        else:
            h = math.log(sigma / step.sigma_down)
            c_2 = math.log(sigma_down_last / sigma_last) / h
            phi_1 = -math.expm1(-h) / h
            phi_2 = (phi_1 - 1.0) / -h
            b_2 = phi_2 / c_2
            x = at.x * math.exp(-h) + (at.kept * (phi_1 - b_2) + kept_last * b_2) * h
        if step.sigma_up > 0:
            x = x * step.rescale + noise(sigma, sigma_next) * (s_noise * step.sigma_up)
        kept_last, sigma_last, sigma_down_last = at.kept, sigma, step.sigma_down
    return x
