"""Guidance away from what the network makes of its own picture with the attended places blurred."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn import functional

from engine.diffusion.guidance.guidance import Sides
from engine.diffusion.prediction import OutputAlone
from engine.diffusion.requests import Flow, Latent

__all__ = ["SelfAttentionGuidance"]

_RADIUS = 4
_EVEN_SHARE = 1.0
"""Places that receive more attention than this are blurred."""


@dataclass(frozen=True, slots=True)
class SelfAttentionGuidance:
    """denoised + (degraded - prediction for degraded) · scale; two more predictions per evaluation.

    The degraded picture is that of the negative side, blurred where the network's attention lies, with its own noise.
    edit: makes the network tell its attention; given to the model handle's `with_edit`.
    blur_sigma: standard deviation of the blur, in latent cells.
    Source: Hong et al. 2023, arXiv:2210.00939, algorithm 1.
    """

    edit: Any
    scale: float
    blur_sigma: float

    def correct(self, sides: Sides, denoised: Latent) -> Flow[Latent]:
        """The prediction led away; as it is at scale 0, without a question."""
        if self.scale == 0:
            return denoised
        received = yield from sides.ask(self.attentive, avoids=True)
        blurred = _blurred(sides.unwanted, self.blur_sigma)
        degraded = torch.where(received > _EVEN_SHARE, blurred, sides.unwanted)
        again = yield from sides.ask(lambda model: model, avoids=True, at=degraded + (sides.x - sides.unwanted))
        return denoised + (degraded - again) * self.scale

    def attentive(self, model: Any) -> Any:
        """The handle whose predictions are the attention it pays."""
        parameterization = model.parameterization
        raw = replace(parameterization, prediction=OutputAlone(parameterization.prediction))
        return model.with_edit(self.edit).with_parameterization(raw)


def _blurred(latent: Latent, sigma: float) -> Latent:
    """Gaussian blur of [b c h w] with reflected borders, nine cells wide."""
    radius = min(_RADIUS, *(side - 1 for side in latent.shape[-2:]))
    if sigma <= 0 or radius < 1:
        return latent
    places = torch.arange(-radius, radius + 1, dtype=latent.dtype, device=latent.device)
    weights = torch.exp(-0.5 * (places / sigma) ** 2)
    kernel = (weights / weights.sum()).expand(latent.shape[1], 1, 1, -1)
    wide = functional.pad(latent, (radius,) * 4, mode="reflect")
    rows = functional.conv2d(wide, kernel, groups=latent.shape[1])
    return functional.conv2d(rows, kernel.transpose(2, 3), groups=latent.shape[1])
