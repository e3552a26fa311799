"""Levels of networks distilled to a few of every hundredth training step."""

from __future__ import annotations

from engine.diffusion.sigma_table import SigmaTable

__all__ = ["turbo_levels"]

_TRAINED_STEPS = tuple(range(999, 0, -100))


def turbo_levels(table: SigmaTable, steps: int, denoise: float = 1.0) -> tuple[float, ...]:
    """Training steps 999, 899 … 99, from the one that `denoise` starts at, then 0.

    Source: Sauer et al. 2023, arXiv:2311.17042 (adversarial distillation on such steps).
    """
    start = len(_TRAINED_STEPS) - int(len(_TRAINED_STEPS) * denoise)
    return (*(table.sigma_at(step) for step in _TRAINED_STEPS[start : start + steps]), 0.0)
