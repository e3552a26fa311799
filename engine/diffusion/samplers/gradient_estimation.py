"""Euler's method on an extrapolated slope."""

from __future__ import annotations

from itertools import pairwise

from engine.diffusion.requests import Flow, Guide, Latent, Sigmas
from engine.diffusion.samplers.evaluation import Evaluate, guided

__all__ = ["gradient_estimation"]


def gradient_estimation(
    x: Latent, sigmas: Sigmas, guide: Guide, *, gamma: float = 2.0, evaluate: Evaluate = guided
) -> Flow[Latent]:
    """Step with slope + (gamma - 1)·(slope - last slope), an estimate of the direction to the data.

    One evaluation per step; the step onto sigma 0 returns `denoised`. Order of convergence: 1; gamma 1 is `euler`.
    Source: Permenter & Yuan 2023, arXiv:2306.04848, algorithm 2.
    """
    slope_last = None
    for sigma, sigma_next in pairwise(sigmas):
        at = yield from evaluate(guide, x, sigma)
        if sigma_next == 0:
            return at.denoised
        slope = (at.x - at.denoised) / sigma
        direction = slope if slope_last is None else slope * gamma - slope_last * (gamma - 1.0)
        x = at.x + direction * (sigma_next - sigma)
        slope_last = slope
    return x
