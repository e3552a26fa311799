"""Levels on a power of the log-sigma axis."""

from __future__ import annotations

import math

import torch

__all__ = ["polyexponential_levels"]


def polyexponential_levels(steps: int, sigma_min: float, sigma_max: float, rho: float = 1.0) -> tuple[float, ...]:
    """From sigma_max to sigma_min in log sigma at places (1 … 0)^rho, then 0; rho 1 is `exponential_levels`.

    Source: k-diffusion's `get_sigmas_polyexponential`.
    """
    ramp = torch.linspace(1, 0, steps) ** rho
    low, high = math.log(sigma_min), math.log(sigma_max)
    return (*(ramp * (high - low) + low).exp().tolist(), 0.0)
