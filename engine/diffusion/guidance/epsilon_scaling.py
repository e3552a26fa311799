"""Predicted noise made smaller, against the error that builds up over a run."""

from __future__ import annotations

from dataclasses import dataclass

from engine.diffusion.guidance.guidance import Sides
from engine.diffusion.requests import Flow, Latent

__all__ = ["EpsilonScaling"]


@dataclass(frozen=True, slots=True)
class EpsilonScaling:
    """Divide the guided noise by a factor. Source: Ning et al. 2023, arXiv:2308.15321, section 5."""

    factor: float

    def correct(self, sides: Sides, denoised: Latent) -> Flow[Latent]:
        """The prediction whose noise is the divided one."""
        yield from ()
        return sides.x - (sides.x - denoised) / self.factor
