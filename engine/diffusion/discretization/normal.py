"""Levels at evenly spaced training steps."""

from __future__ import annotations

import torch

from engine.diffusion.sigma_table import SigmaTable

__all__ = ["normal", "sgm_uniform"]


def normal(table: SigmaTable, steps: int) -> tuple[float, ...]:
    """Evenly spaced from the step of sigma_max to that of sigma_min, then 0.

    A table whose smallest level is 0 already ends there; it gets one more point instead of a second 0.
    """
    start, end = table.timestep(table.sigma_max), table.timestep(table.sigma_min)
    if abs(table.sigma_at(end)) < 1e-5:
        return tuple(table.sigma_at(t) for t in torch.linspace(start, end, steps + 1).tolist())
    return (*(table.sigma_at(t) for t in torch.linspace(start, end, steps).tolist()), 0.0)


def sgm_uniform(table: SigmaTable, steps: int) -> tuple[float, ...]:
    """Evenly spaced like `normal` over one step more, whose end is left out, then 0.

    Source: the discretization of Stability's generative-models; suits networks distilled to few steps.
    """
    start, end = table.timestep(table.sigma_max), table.timestep(table.sigma_min)
    places = torch.linspace(start, end, steps + 1).tolist()[:-1]
    return (*(table.sigma_at(t) for t in places), 0.0)
