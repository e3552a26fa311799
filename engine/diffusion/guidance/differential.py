"""Differential diffusion: a grey mask says when a place may start to change."""

from __future__ import annotations

from dataclasses import dataclass

from engine.diffusion.requests import Latent

__all__ = ["DifferentialMask"]


@dataclass(frozen=True, slots=True)
class DifferentialMask:
    """Places change from the point on where the mask reaches what is left of the run.

    strength: mix of that mask with the plain one. Source: Levin & Fried 2023, arXiv:2306.00950, algorithm 1.
    """

    strength: float = 1.0

    def mask_at(self, mask: Latent, progress: float) -> Latent:
        """1 where mask ≥ progress, which falls from 1 to 0."""
        changes = (mask >= progress).to(mask)
        return changes * self.strength + mask * (1.0 - self.strength)
