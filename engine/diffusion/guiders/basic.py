"""No guidance: the conditioned prediction itself."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from engine.diffusion.conditioning import ConditioningEntry
from engine.diffusion.denoiser import Denoiser
from engine.diffusion.guidance.guidance import Sides
from engine.diffusion.regions import asker, bind_regions, predictions
from engine.diffusion.requests import Flow, FullGuide, Guided, Latent

__all__ = ["Basic"]


@dataclass(frozen=True, slots=True, eq=False)
class Basic:
    """The plain prediction; for networks that have guidance built in."""

    denoiser: Denoiser
    conditioning: tuple[ConditioningEntry, ...]

    def bind(
        self, latent: Tensor, noise_mask: Tensor | None, *, wants_unguided: bool = False, seed: int = 0
    ) -> FullGuide:
        """One request per step and region."""
        run, predict = self.denoiser.guidance.start(), predictions(self.denoiser)
        regions = bind_regions(self.denoiser, self.conditioning, latent, noise_mask, seed)

        def guide(x: Latent, sigma: float) -> Flow[Guided]:
            (denoised,) = yield from predict((regions,), x, sigma)
            ask = asker(self.denoiser, regions, regions, x, sigma)
            return (yield from run(Sides(x, sigma, 1.0, denoised, denoised, ask)))

        return guide
