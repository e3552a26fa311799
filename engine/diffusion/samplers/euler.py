"""Euler's method; with deterministic steps it is also DDIM."""

from __future__ import annotations

from itertools import pairwise

from engine.diffusion.requests import Flow, Guide, Latent, Sigmas
from engine.diffusion.samplers.evaluation import Evaluate, guided

__all__ = ["euler"]


def euler(x: Latent, sigmas: Sigmas, guide: Guide, *, evaluate: Evaluate = guided) -> Flow[Latent]:
    """Integrate dx/dsigma = (x - denoised)/sigma with Euler steps.

    One evaluation per step. Order of convergence: 1. In sigma form this is DDIM with eta = 0.
    Source: Karras et al. 2022, arXiv:2206.00364, algorithm 1 uncorrected; Song et al. 2021, arXiv:2010.02502.
    """
    for sigma, sigma_next in pairwise(sigmas):
        at = yield from evaluate(guide, x, sigma)
        x = at.x + (at.x - at.denoised) / sigma * (sigma_next - sigma)
    return x
