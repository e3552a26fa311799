"""MaHiRo: guidance mixed with a plain leap along the positive side."""

from __future__ import annotations

from dataclasses import dataclass

from torch.nn import functional

from engine.diffusion.guidance.guidance import Sides
from engine.diffusion.requests import Flow, Latent

__all__ = ["Leap"]


@dataclass(frozen=True, slots=True)
class Leap:
    """A mean of the guided prediction and of the scaled positive one, the leap.

    The more the mean of both points where the scaled negative side does, the worse the leap, and the more of the guided
    prediction is taken: (1 + s)/2 of it, s the cosine over channels of their square roots, averaged over the picture.
    Each item of a batch has its own. Source: yoinked 2024, "Making classifier free guidance help in naive conditioning
    jumps", sections 2.2 and 2.3.
    """

    def correct(self, sides: Sides, denoised: Latent) -> Flow[Latent]:
        """The mixed prediction."""
        yield from ()
        leap = sides.wanted * sides.scale
        middle, avoided = (leap + denoised) / 2, sides.unwanted * sides.scale
        alike = functional.cosine_similarity(_signed_root(avoided), _signed_root(middle), dim=1)
        share = (alike.flatten(1).mean(1) + 1.0) / 2
        return leap + (denoised - leap) * share.view(-1, *(1,) * (denoised.ndim - 1))


def _signed_root(latent: Latent) -> Latent:
    return latent.abs().sqrt() * latent.sign()
