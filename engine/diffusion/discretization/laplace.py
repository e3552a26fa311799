"""Levels whose logarithms follow a Laplace distribution."""

from __future__ import annotations

import torch

__all__ = ["laplace_levels"]

_EDGE = 1e-5
"""Keeps the logarithm finite at both ends."""


def laplace_levels(
    steps: int, sigma_min: float, sigma_max: float, mu: float = 0.0, beta: float = 0.5
) -> tuple[float, ...]:
    """`steps` quantiles of log sigma ~ Laplace(mu, beta), largest first, held between sigma_min and sigma_max.

    No 0 is added: the last level is one that is stepped to. Source: Hang et al. 2024, arXiv:2407.03297, table 1.
    """
    place = torch.linspace(0, 1, steps)
    logs = mu - beta * torch.sign(0.5 - place) * torch.log(1 - 2 * (0.5 - place).abs() + _EDGE)
    return tuple(logs.exp().clamp(sigma_min, sigma_max).tolist())
