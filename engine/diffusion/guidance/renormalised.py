"""Guidance that may not make the prediction stronger than the positive side's."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.diffusion.guidance.guidance import Sides
from engine.diffusion.requests import Latent

__all__ = ["Renormalised"]


@dataclass(frozen=True, slots=True)
class Renormalised:
    """Guide below the level `truncation` only, and shrink what is removed from the picture to a norm of at most
    `limit` times the positive side's; a limit of 0 is none.

    What is removed, x - denoised, is sigma times the network's output for networks that predict noise or a flow's
    velocity, so the factor is that of their outputs. Norms are those of whole items. Source: Lumina-Image 2.0, Qin et
    al. 2025, arXiv:2503.21758, and its published `forward_with_cfg`.
    """

    truncation: float
    limit: float

    def combine(self, sides: Sides) -> Latent:
        """The guided prediction; the positive side itself at and above the truncation."""
        if sides.sigma >= self.truncation:
            return sides.wanted
        wanted, unwanted = sides.x - sides.wanted, sides.x - sides.unwanted
        guided = unwanted + (wanted - unwanted) * sides.scale
        if self.limit > 0:
            axes = tuple(range(1, guided.ndim))
            largest = torch.linalg.vector_norm(wanted, dim=axes, keepdim=True) * self.limit
            norm = torch.linalg.vector_norm(guided, dim=axes, keepdim=True)
            guided = guided * (largest / norm.clamp(min=1e-12)).clamp(max=1.0)
        return sides.x - guided
