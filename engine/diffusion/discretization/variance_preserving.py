"""Levels of the continuous variance-preserving process."""

from __future__ import annotations

import torch

__all__ = ["variance_preserving_levels"]


def variance_preserving_levels(
    steps: int, beta_d: float = 19.9, beta_min: float = 0.1, eps_s: float = 1e-3
) -> tuple[float, ...]:
    """sqrt(exp(beta_d·t²/2 + beta_min·t) - 1) for t evenly from 1 to eps_s, then 0.

    Source: Song et al. 2021, arXiv:2011.13456, in the form of Karras et al. 2022, arXiv:2206.00364, table 1.
    """
    t = torch.linspace(1, eps_s, steps)
    return (*(torch.exp(beta_d * t**2 / 2 + beta_min * t) - 1).sqrt().tolist(), 0.0)
