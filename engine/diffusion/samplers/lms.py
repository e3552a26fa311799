"""Linear multistep: Adams-Bashforth on uneven steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from engine.diffusion.requests import Flow, Guide, Latent, Sigmas

__all__ = ["lms"]


def lms(x: Latent, sigmas: Sigmas, guide: Guide, *, max_order: int = 4) -> Flow[Latent]:
    """Integrate the polynomial through the last slopes exactly over each step.

    One evaluation per step; the order grows to `max_order` over the first steps, so the start limits the order of
    convergence to 2 unless the first steps are small. Source: Adams-Bashforth, Hairer, Norsett & Wanner 1993, III.1.
    """
    slopes: deque[Latent] = deque(maxlen=max_order)
    levels: deque[float] = deque(maxlen=max_order)
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield from guide(x, sigma)
        slopes.appendleft((x - denoised) / sigma)
        levels.appendleft(sigma)
        for weight, slope in zip(_weights(levels, sigma_next), slopes, strict=True):
            x = x + slope * weight
    return x


def _weights(levels: Sequence[float], end: float) -> list[float]:
    """Integrals over levels[0]..end of the Lagrange polynomials that are 1 at one level and 0 at the others."""
    start = levels[0]
    weights = []
    for own in levels:
        others = [level for level in levels if level != own]
        # Centred on the start, so that small steps keep their digits.
        polynomial = np.polynomial.Polynomial([1.0])
        for level in others:
            polynomial = polynomial * np.polynomial.Polynomial([start - level, 1.0])
        weights.append(float(polynomial.integ()(end - start) / polynomial(own - start)))
    return weights
