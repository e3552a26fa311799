"""Classifier-free guidance."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from engine.diffusion.conditioning import ConditioningEntry, as_negative, share_steering
from engine.diffusion.denoiser import Denoiser
from engine.diffusion.guidance.guidance import Sides
from engine.diffusion.guiders.perp_neg import PerpNeg
from engine.diffusion.regions import asker, bind_regions, predictions, share_windows
from engine.diffusion.requests import Flow, FullGuide, Guided, Latent

__all__ = ["Cfg"]


@dataclass(frozen=True, slots=True, eq=False)
class Cfg:
    """negative + (positive - negative) · scale, or what the denoiser's guidance makes of the two.

    At scale 1 the negative side cancels and is not asked for, unless it is wanted for itself.
    Source: Ho & Salimans 2022, arXiv:2207.12598.
    """

    denoiser: Denoiser
    positive: tuple[ConditioningEntry, ...]
    negative: tuple[ConditioningEntry, ...]
    scale: float

    def bind(
        self, latent: Tensor, noise_mask: Tensor | None, *, wants_unguided: bool = False, seed: int = 0
    ) -> FullGuide:
        """Both sides are asked for in one group, so that they can share a forward."""
        neutral = self.denoiser.guidance.neutral
        if neutral is not None:
            sides = (self.positive, self.negative, neutral.conditioning)
            guider = PerpNeg(self.denoiser, *sides, self.scale, neutral.negative_scale)
            return guider.bind(latent, noise_mask, wants_unguided=wants_unguided, seed=seed)
        positive = bind_regions(self.denoiser, self.positive, latent, noise_mask, seed)
        steered = as_negative(share_steering(self.positive, self.negative))
        negative = bind_regions(self.denoiser, steered, latent, noise_mask, seed)
        negative = share_windows(negative, positive)
        positive = share_windows(positive, negative)

        run, predict = self.denoiser.guidance.start(), predictions(self.denoiser)

        def guide(x: Latent, sigma: float) -> Flow[Guided]:
            if math.isclose(self.scale, 1.0) and not wants_unguided:
                (wanted,) = yield from predict((positive,), x, sigma)
                unwanted, avoided = wanted, positive
            else:
                wanted, unwanted = yield from predict((positive, negative), x, sigma)
                avoided = negative
            ask = asker(self.denoiser, positive, avoided, x, sigma)
            return (yield from run(Sides(x, sigma, self.scale, wanted, unwanted, ask)))

        return guide
