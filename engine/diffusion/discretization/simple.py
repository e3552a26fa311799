"""Levels picked from the table at a fixed stride, from the noisy end."""

from __future__ import annotations

from engine.diffusion.sigma_table import SigmaTable

__all__ = ["simple"]


def simple(table: SigmaTable, steps: int) -> tuple[float, ...]:
    """Every (n/steps)-th entry counted from the largest, then 0; no interpolation between entries."""
    sigmas = table.sigmas.tolist()
    stride = len(sigmas) / steps
    return (*(sigmas[-(1 + int(place * stride))] for place in range(steps)), 0.0)
