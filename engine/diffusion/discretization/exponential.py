"""Levels evenly spaced in log sigma."""

from __future__ import annotations

import math

import torch

from engine.diffusion.sigma_table import SigmaTable

__all__ = ["exponential", "exponential_levels"]


def exponential(table: SigmaTable, steps: int) -> tuple[float, ...]:
    """`exponential_levels` over the whole table."""
    return exponential_levels(steps, table.sigma_min, table.sigma_max)


def exponential_levels(steps: int, sigma_min: float, sigma_max: float) -> tuple[float, ...]:
    """A geometric row from sigma_max to sigma_min, then 0."""
    return (*torch.linspace(math.log(sigma_max), math.log(sigma_min), steps).exp().tolist(), 0.0)
