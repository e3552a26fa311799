"""Guidance by two positive sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from engine.diffusion.conditioning import ConditioningEntry, as_negative, share_steering
from engine.diffusion.denoiser import Denoiser
from engine.diffusion.guidance.guidance import Sides
from engine.diffusion.regions import asker, bind_regions, predictions
from engine.diffusion.requests import Flow, FullGuide, Guided, Latent

__all__ = ["DualCfg"]


@dataclass(frozen=True, slots=True, eq=False)
class DualCfg:
    """From negative to second by one scale and from second to first by another.

    style: "regular" adds the step from second to first to the guided second side; "nested" guides the negative side
        towards the guided pair of first and second.
    Source: Brooks et al. 2022, arXiv:2211.09800, equation 3 (regular).
    """

    denoiser: Denoiser
    first: tuple[ConditioningEntry, ...]
    second: tuple[ConditioningEntry, ...]
    negative: tuple[ConditioningEntry, ...]
    first_scale: float
    second_scale: float
    style: Literal["regular", "nested"] = "regular"

    def bind(
        self, latent: Tensor, noise_mask: Tensor | None, *, wants_unguided: bool = False, seed: int = 0
    ) -> FullGuide:
        """All three sides are asked for in one group."""
        all_sides = (self.first, self.second, as_negative(share_steering(self.first, self.negative)))
        sides = [bind_regions(self.denoiser, side, latent, noise_mask, seed) for side in all_sides]
        predict = predictions(self.denoiser)
        outer, inner = self.denoiser.guidance.start(), self.denoiser.guidance.start()

        def guide(x: Latent, sigma: float) -> Flow[Guided]:
            first, second, negative = yield from predict(sides, x, sigma)
            ask = asker(self.denoiser, sides[0], sides[2], x, sigma)
            if self.style == "nested":
                pair = yield from inner(Sides(x, sigma, self.first_scale, first, second, ask))
                return (yield from outer(Sides(x, sigma, self.second_scale, pair.denoised, negative, ask)))
            answer = yield from outer(Sides(x, sigma, self.second_scale, second, negative, ask))
            return Guided(answer.denoised + (first - second) * self.first_scale, answer.unguided)

        return guide
