"""Levels at training steps spaced by a Beta distribution: dense at both ends."""

from __future__ import annotations

import math

import torch

from engine.diffusion.sigma_table import SigmaTable

__all__ = ["beta", "beta_levels", "beta_quantile"]


def beta(table: SigmaTable, steps: int) -> tuple[float, ...]:
    """`beta_levels` with both shapes 0.6."""
    return beta_levels(table, steps)


def beta_levels(table: SigmaTable, steps: int, alpha: float = 0.6, beta: float = 0.6) -> tuple[float, ...]:
    """Entries at the quantiles of Beta(alpha, beta), largest first, repeated entries dropped, then 0.

    Source: Lee et al. 2024, arXiv:2407.12173.
    """
    last = len(table.sigmas) - 1
    fractions = 1.0 - torch.arange(steps, dtype=torch.float64) / steps
    places = dict.fromkeys(round(beta_quantile(f, alpha, beta) * last) for f in fractions.tolist())
    return (*(float(table.sigmas[place]) for place in places), 0.0)


def beta_quantile(probability: float, alpha: float, beta: float) -> float:
    """x with I_x(alpha, beta) = probability, to about 1e-12, by bisection."""
    if probability <= 0.0:
        return 0.0
    if probability >= 1.0:
        return 1.0
    low, high = 0.0, 1.0
    while high - low > 1e-13:
        middle = 0.5 * (low + high)
        if _regularized_beta(middle, alpha, beta) < probability:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def _regularized_beta(x: float, a: float, b: float) -> float:
    """I_x(a, b) by its continued fraction. Source: Abramowitz & Stegun 26.5.8, evaluated as in DLMF 3.10."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _regularized_beta(1.0 - x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )  # fmt: skip
    fraction, c, d = 1.0, 1.0, 0.0
    for term in range(200):
        half = term // 2
        if term == 0:
            numerator = 1.0
        elif term % 2 == 0:
            numerator = half * (b - half) * x / ((a + 2.0 * half - 1.0) * (a + 2.0 * half))
        else:
            numerator = -(a + half) * (a + b + half) * x / ((a + 2.0 * half) * (a + 2.0 * half + 1.0))
        d = 1.0 / (1.0 + numerator * d)
        c = 1.0 + numerator / c
        fraction *= c * d
        if abs(1.0 - c * d) < 1e-15:
            break
    return front * (fraction - 1.0) / a
