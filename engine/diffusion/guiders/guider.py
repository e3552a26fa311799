"""The contract of a guidance method before the size of the picture is known."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from engine.diffusion.denoiser import Denoiser
from engine.diffusion.requests import FullGuide

__all__ = ["Guider"]


class Guider(Protocol):
    """A guidance method with its denoiser, conditioning and strengths; the value of a GUIDER socket."""

    @property
    def denoiser(self) -> Denoiser:
        """Who makes the predictions."""
        ...

    def bind(
        self, latent: Tensor, noise_mask: Tensor | None, *, wants_unguided: bool = False, seed: int = 0
    ) -> FullGuide:
        """The guide for a latent [b c h w] in network scale on the denoiser's device.

        seed: of the run, for conditioning that has noise of its own.
        Without `wants_unguided` a method may leave out the unguided prediction where it has no use for it.
        """
        ...
