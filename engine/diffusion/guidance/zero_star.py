"""CFG-Zero*: the negative side scaled to the positive one."""

from __future__ import annotations

from dataclasses import dataclass

from engine.diffusion.guidance.guidance import Sides
from engine.diffusion.requests import Flow, Latent

__all__ = ["ZeroStar"]


@dataclass(frozen=True, slots=True)
class ZeroStar:
    """Scale the negative prediction so that its noise is the projection of the positive one's.

    A correction, so that it goes with any combination. Source: Fan et al. 2025, arXiv:2503.18886, equation 8.
    """

    def correct(self, sides: Sides, denoised: Latent) -> Flow[Latent]:
        """The prediction with the scaled negative side."""
        yield from ()
        wanted, unwanted = (sides.x - sides.wanted).flatten(1), (sides.x - sides.unwanted).flatten(1)
        scale = (wanted * unwanted).sum(1) / (unwanted.square().sum(1) + 1e-8)
        scale = scale.view(-1, *(1,) * (denoised.ndim - 1))
        return denoised + sides.unwanted * (scale - 1.0) * (1.0 - sides.scale)
