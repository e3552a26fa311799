"""Guidance away from what a damaged network predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.diffusion.guidance.guidance import Sides
from engine.diffusion.requests import Flow, Latent

__all__ = ["PerturbedGuidance"]


@dataclass(frozen=True, slots=True)
class PerturbedGuidance:
    """denoised + (positive - positive by the edited network) · scale; one more prediction per evaluation.

    edit: given to the model handle's `with_edit`.
    Source: Ahn et al. 2024, arXiv:2403.17377, equation 16.
    """

    edit: Any
    scale: float

    def correct(self, sides: Sides, denoised: Latent) -> Flow[Latent]:
        """The prediction led away; as it is at scale 0, without a question."""
        if self.scale == 0:
            return denoised
        damaged = yield from sides.ask(lambda model: model.with_edit(self.edit))
        return denoised + (sides.wanted - damaged) * self.scale
