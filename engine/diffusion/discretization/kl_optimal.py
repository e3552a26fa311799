"""Levels that minimise an upper bound of the discretization's KL divergence."""

from __future__ import annotations

import math

from engine.diffusion.sigma_table import SigmaTable

__all__ = ["kl_optimal"]


def kl_optimal(table: SigmaTable, steps: int) -> tuple[float, ...]:
    """Evenly spaced in arctan sigma, then 0. Source: Sabour et al. 2024, arXiv:2404.14507, theorem 3.1."""
    high, low = math.atan(table.sigma_max), math.atan(table.sigma_min)
    last = max(steps - 1, 1)
    return (*(math.tan(high + (low - high) * step / last) for step in range(steps)), 0.0)
