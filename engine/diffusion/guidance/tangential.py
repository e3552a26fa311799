"""Tangential damping: the negative side kept to the direction both sides share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from engine.diffusion.guidance.guidance import Sides

__all__ = ["TangentialDamping"]


@dataclass(frozen=True, slots=True)
class TangentialDamping:
    """Project the negative side's noise on the first right singular vector of both sides' noises.

    Source: Kwon et al. 2025, arXiv:2503.18137, algorithm 1.
    """

    def start(self) -> Callable[[Sides], Sides]:
        """It remembers nothing."""
        return _damp


def _damp(sides: Sides) -> Sides:
    wanted, unwanted = (sides.x - sides.wanted).flatten(1), (sides.x - sides.unwanted).flatten(1)
    shared = torch.linalg.svd(torch.stack([wanted, unwanted], dim=1).float(), full_matrices=False).Vh[:, 0]
    damped = (unwanted * shared).sum(1, keepdim=True) * shared
    return replace(sides, unwanted=sides.x - damped.view_as(sides.x))
