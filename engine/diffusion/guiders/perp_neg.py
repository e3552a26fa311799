"""Guidance away from the part of the negative side that the positive one does not share."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from engine.diffusion.conditioning import ConditioningEntry, as_negative, share_steering
from engine.diffusion.denoiser import Denoiser
from engine.diffusion.guidance.guidance import Sides
from engine.diffusion.regions import asker, bind_regions, predictions
from engine.diffusion.requests import Flow, FullGuide, Guided, Latent

__all__ = ["PerpNeg", "perpendicular_negative"]


@dataclass(frozen=True, slots=True, eq=False)
class PerpNeg:
    """empty + (positive - negative's part perpendicular to it) · scale, differences taken from the empty side.

    Source: Armandpour et al. 2023, arXiv:2304.04968, equation 8.
    """

    denoiser: Denoiser
    positive: tuple[ConditioningEntry, ...]
    negative: tuple[ConditioningEntry, ...]
    empty: tuple[ConditioningEntry, ...]
    scale: float
    negative_scale: float = 1.0

    def bind(
        self, latent: Tensor, noise_mask: Tensor | None, *, wants_unguided: bool = False, seed: int = 0
    ) -> FullGuide:
        """All three sides are asked for in one group."""
        all_sides = (self.positive, as_negative(share_steering(self.positive, self.negative)), self.empty)
        sides = [bind_regions(self.denoiser, side, latent, noise_mask, seed) for side in all_sides]
        guidance, predict = self.denoiser.guidance, predictions(self.denoiser)

        def guide(x: Latent, sigma: float) -> Flow[Guided]:
            positive, negative, empty = yield from predict(sides, x, sigma)
            denoised = perpendicular_negative(positive, negative, empty, self.scale, self.negative_scale)
            ask = asker(self.denoiser, sides[0], sides[2], x, sigma)
            found = Sides(x, sigma, self.scale, positive, empty, ask)
            return Guided((yield from guidance.correct(found, denoised)), empty)

        return guide


def perpendicular_negative(
    positive: Latent, negative: Latent, empty: Latent, scale: float, negative_scale: float
) -> Latent:
    """The guided prediction; projections are those of whole items."""
    axes = tuple(range(1, positive.ndim))
    towards, away = positive - empty, negative - empty
    length = towards.square().sum(dim=axes, keepdim=True).clamp(min=1e-20)
    shared = (away * towards).sum(dim=axes, keepdim=True) / length
    return empty + (towards - (away - towards * shared) * negative_scale) * scale
