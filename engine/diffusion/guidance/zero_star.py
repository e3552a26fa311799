"""CFG-Zero*: the slope of the negative side scaled to that of the positive one."""

from __future__ import annotations

from dataclasses import dataclass

from engine.diffusion.guidance.guidance import Sides
from engine.diffusion.requests import Flow, Latent

__all__ = ["ZeroStar"]


@dataclass(frozen=True, slots=True)
class ZeroStar:
    """Scale the negative side's slope so that it is the projection of the positive one's.

    What is scaled is (x - denoised)/sigma, the slope of the run's path. The paper scales the velocity, and for a
    network that predicts velocities or noise that is the slope. For one that predicts v it is not; the paper has none
    of these, and the slope is what its argument is about: the error of the path, whatever the network puts out. The
    first steps are left as they are; the paper leaves them out for flow networks that err there.
    A correction, so that it goes with any combination. Source: Fan et al. 2025, arXiv:2503.18886, section 4.1.
    """

    def correct(self, sides: Sides, denoised: Latent) -> Flow[Latent]:
        """The prediction with the scaled negative side."""
        yield from ()
        wanted, unwanted = sides.x - sides.wanted, sides.x - sides.unwanted
        scale = (wanted * unwanted).flatten(1).sum(1) / (unwanted.square().flatten(1).sum(1) + 1e-8)
        scale = scale.view(-1, *(1,) * (denoised.ndim - 1))
        return denoised + unwanted * (1.0 - scale) * (1.0 - sides.scale)
