"""Heun's second-order method."""

from __future__ import annotations

from itertools import pairwise

from engine.diffusion.requests import Flow, Guide, Latent, Sigmas

__all__ = ["heun"]


def heun(x: Latent, sigmas: Sigmas, guide: Guide) -> Flow[Latent]:
    """Integrate with the mean of the slopes at both ends of a step.

    Two evaluations per step; the step onto sigma 0, where the slope is undefined, is a plain Euler step.
    Order of convergence: 2. Source: Karras et al. 2022, arXiv:2206.00364, algorithm 1.
    """
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield from guide(x, sigma)
        slope = (x - denoised) / sigma
        x_next = x + slope * (sigma_next - sigma)
        if sigma_next > 0:
            denoised_next = yield from guide(x_next, sigma_next)
            slope_next = (x_next - denoised_next) / sigma_next
            x_next = x + (slope + slope_next) / 2 * (sigma_next - sigma)
        x = x_next
    return x
