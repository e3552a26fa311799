"""Guidance rescaled to the contrast of the positive side."""

from __future__ import annotations

from dataclasses import dataclass

from engine.diffusion.guidance.guidance import Sides
from engine.diffusion.requests import Latent

__all__ = ["Rescale"]


@dataclass(frozen=True, slots=True)
class Rescale:
    """Guide in v form and give the result, by `multiplier`, the standard deviation the positive side has.

    Source: Lin et al. 2023, arXiv:2305.08891, section 3.4.
    """

    multiplier: float

    def combine(self, sides: Sides) -> Latent:
        """The guided prediction; deviations are those of whole items."""
        total = sides.sigma**2 + 1.0
        v_scale = total**0.5 / sides.sigma
        start = sides.x / total
        wanted, unwanted = (start - sides.wanted) * v_scale, (start - sides.unwanted) * v_scale
        guided = unwanted + (wanted - unwanted) * sides.scale
        axes = tuple(range(1, guided.ndim))
        ratio = wanted.std(dim=axes, keepdim=True) / guided.std(dim=axes, keepdim=True)
        return start - guided * (1.0 + self.multiplier * (ratio - 1.0)) / v_scale
