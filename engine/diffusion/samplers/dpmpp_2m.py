"""DPM-Solver++(2M)."""

from __future__ import annotations

import math
from itertools import pairwise

from engine.diffusion.requests import Flow, Guide, Latent, Sigmas
from engine.diffusion.samplers.evaluation import Evaluate, guided

__all__ = ["dpmpp_2m"]


def dpmpp_2m(x: Latent, sigmas: Sigmas, guide: Guide, *, evaluate: Evaluate = guided) -> Flow[Latent]:
    """A multistep exponential integrator of the data prediction, extrapolating from the last two.

    One evaluation per step; the first step and the step onto sigma 0 are of first order. Order of convergence: 2.
    Source: Lu et al. 2022, arXiv:2211.01095, algorithm 2, with lambda = -log sigma.
    """
    kept_last = None
    h_last = 0.0
    for sigma, sigma_next in pairwise(sigmas):
        at = yield from evaluate(guide, x, sigma)
        h = math.log(sigma / sigma_next) if sigma_next > 0 else math.inf
        direction = at.denoised
        if kept_last is not None and sigma_next > 0:
            weight = h / (2.0 * h_last)
            direction = at.denoised * (1.0 + weight) - kept_last * weight
        x = at.x * (sigma_next / sigma) - direction * math.expm1(-h)
        kept_last, h_last = at.kept, h
    return x
