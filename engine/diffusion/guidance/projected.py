"""Adaptive projected guidance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from engine.diffusion.guidance.guidance import Sides
from engine.diffusion.requests import Latent

__all__ = ["AdaptiveProjection"]


@dataclass(frozen=True, slots=True)
class AdaptiveProjection:
    """Guide across the positive prediction rather than along it, with a bounded and averaged difference.

    eta: how much of the part along the prediction is kept; 1 keeps all of it.
    norm_threshold: largest norm of the difference per item; 0 for none.
    momentum: weight of the last differences; negative values push away from them.

    The scale counts from the positive prediction: wanted + (scale - 1) · difference.
    Source: Sadat et al. 2024, arXiv:2410.02416, algorithm 1.
    """

    eta: float = 1.0
    norm_threshold: float = 5.0
    momentum: float = 0.0

    def start(self) -> Callable[[Sides], Sides]:
        """It remembers the average of the differences so far."""
        average: Latent | None = None

        def change(sides: Sides) -> Sides:
            nonlocal average
            difference = sides.wanted - sides.unwanted
            if average is not None and self.momentum:
                difference = difference + average * self.momentum
            average = difference
            return replace(sides, unwanted=sides.wanted - self._projected(difference, sides.wanted))

        return change

    def _projected(self, difference: Latent, wanted: Latent) -> Latent:
        axes = tuple(range(1, difference.ndim))
        if self.norm_threshold > 0:
            norm = torch.linalg.vector_norm(difference, dim=axes, keepdim=True)
            difference = difference * (self.norm_threshold / norm.clamp(min=1e-12)).clamp(max=1.0)
        unit = wanted / torch.linalg.vector_norm(wanted, dim=axes, keepdim=True).clamp(min=1e-12)
        parallel = (difference * unit).sum(dim=axes, keepdim=True) * unit
        return difference - parallel * (1.0 - self.eta)
