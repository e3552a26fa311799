"""Guidance that may not raise the norm of the prediction."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.diffusion.guidance.guidance import Sides
from engine.diffusion.requests import Flow, Latent

__all__ = ["NormLimit"]


@dataclass(frozen=True, slots=True)
class NormLimit:
    """Shrink the guided prediction, place by place, to the norm over channels that the positive side has."""

    strength: float = 1.0

    def correct(self, sides: Sides, denoised: Latent) -> Flow[Latent]:
        """The prediction times the limit, times the strength."""
        yield from ()
        wanted = torch.linalg.vector_norm(sides.wanted, dim=1, keepdim=True)
        guided = torch.linalg.vector_norm(denoised, dim=1, keepdim=True)
        return denoised * (wanted / (guided + 1e-8)).clamp(max=1.0) * self.strength
