"""Pseudo linear multistep, the sampler of the first Stable Diffusion scripts."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

from engine.diffusion.requests import Flow, Guide, Latent, Sigmas

__all__ = ["plms"]

_WEIGHTS = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))
"""Adams-Bashforth on even steps, newest slope first."""


def plms(x: Latent, sigmas: Sigmas, guide: Guide) -> Flow[Latent]:
    """Take the last four slopes for those of even steps, whatever the levels are; the first step is Heun's.

    One evaluation per step, two in the first, which is Euler's where it leads to 0. Order of convergence: 2.
    Source: Liu et al. 2022, arXiv:2202.09778, algorithm 2 with the start of Stable Diffusion's `plms.py`.
    """
    slopes: deque[Latent] = deque(maxlen=len(_WEIGHTS))
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield from guide(x, sigma)
        slopes.appendleft((x - denoised) / sigma)
        slope = sum(kept * weight for kept, weight in zip(slopes, _WEIGHTS[len(slopes) - 1], strict=True))
        if len(slopes) == 1 and sigma_next > 0:
            x_next = x + slope * (sigma_next - sigma)
            denoised_next = yield from guide(x_next, sigma_next)
            slope = (slope + (x_next - denoised_next) / sigma_next) / 2
        x = x + slope * (sigma_next - sigma)
    return x
