"""DEIS: Adams-Bashforth on polynomials in the time of the variance-preserving process."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from engine.diffusion.requests import Flow, Guide, Latent, Sigmas

__all__ = ["deis"]

_NODES, _NODE_WEIGHTS = (tuple(values.tolist()) for values in np.polynomial.legendre.leggauss(24))


def deis(x: Latent, sigmas: Sigmas, guide: Guide, *, max_order: int = 3) -> Flow[Latent]:
    """Integrate the polynomial, in process time, through the last slopes over each step.

    One evaluation per step; the step onto sigma 0 is an Euler step, and the order grows over the first steps, which
    limits the order of convergence to 2. Source: Zhang & Chen 2022, arXiv:2204.13902, equation 15 (tAB-DEIS).
    """
    slopes: deque[Latent] = deque(maxlen=max_order)
    levels: deque[float] = deque(maxlen=max_order)
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield from guide(x, sigma)
        slopes.appendleft((x - denoised) / sigma)
        levels.appendleft(sigma)
        weights = _weights(levels, sigma_next) if sigma_next > 0 else [-sigma]
        for weight, slope in zip(weights, slopes, strict=False):
            x = x + slope * weight
    return x


def _process_time(sigma: float) -> float:
    """Time of the linear variance-preserving process that spans levels 0.002 at time 0.001 to 80 at time 1."""
    low, high, early = math.log(0.002**2 + 1), math.log(80.0**2 + 1), 1e-3
    beta_d = 2 * (low / early - high) / (early - 1)
    beta_min = high - 0.5 * beta_d
    return (math.sqrt(beta_min**2 + 2 * beta_d * math.log(sigma**2 + 1)) - beta_min) / beta_d


def _weights(levels: Sequence[float], end: float) -> list[float]:
    """Integrals over sigma, from levels[0] to end, of the Lagrange polynomials in process time."""
    start = levels[0]
    times = [_process_time(level) for level in levels]
    weights = [0.0] * len(levels)
    for node, node_weight in zip(_NODES, _NODE_WEIGHTS, strict=True):
        time = _process_time(start + (end - start) * (node + 1) / 2)
        for j, own in enumerate(times):
            value = math.prod((time - other) / (own - other) for k, other in enumerate(times) if k != j)
            weights[j] += node_weight / 2 * (end - start) * value
    return weights
