"""Karras et al.'s levels: dense near the clean end."""

from __future__ import annotations

import torch

from engine.diffusion.sigma_table import SigmaTable

__all__ = ["karras", "karras_levels"]


def karras(table: SigmaTable, steps: int) -> tuple[float, ...]:
    """`karras_levels` over the whole table with rho = 7."""
    return karras_levels(steps, table.sigma_min, table.sigma_max)


def karras_levels(steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> tuple[float, ...]:
    """Evenly spaced in sigma^(1/rho), then 0. Source: Karras et al. 2022, arXiv:2206.00364, equation 5."""
    ramp = torch.linspace(0, 1, steps)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return (*((high + ramp * (low - high)) ** rho).tolist(), 0.0)
