"""The contract of an evaluated model: all that guiders, samplers and the batcher know of a family's model handle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from engine.diffusion.condition_inputs import ConditionInputs
from engine.diffusion.conditioning import ConditioningEntry
from engine.diffusion.latent_format import LatentFormat
from engine.diffusion.parameterization import Parameterization

if TYPE_CHECKING:
    from engine.diffusion.guidance.guidance import Guidance

__all__ = ["Denoiser"]


class Denoiser(Protocol):
    """(x, sigma, inputs) -> denoised, for one network with one set of patches. Immutable."""

    @property
    def identity(self) -> str:
        """Equal identity, equal function: file, part, patches, dtype, parameterization. Cheap; part of a batch key."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the latent and the inputs of a request must lie."""
        ...

    @property
    def latent_format(self) -> LatentFormat:
        """Channels and scale of the latents."""
        ...

    @property
    def parameterization(self) -> Parameterization:
        """What the network predicts, with its sigma table."""
        ...

    @property
    def guidance(self) -> Guidance:
        """Rules for guiders; they do not change `denoise` and are no part of `identity`."""
        ...

    def condition(self, entry: ConditioningEntry, latent: Tensor, noise_mask: Tensor | None) -> ConditionInputs:
        """Turn one conditioning entry into network inputs on `device`, with a leading axis of 1 or of the latent's b.

        Args:
            entry: what the prediction is conditioned on; its area, mask, strength and range are handled elsewhere.
            latent: the image being worked on, in network scale [b c h w] (zeros for a new picture).
            noise_mask: 1 where the picture may change [b 1|c h w], or None; networks made for inpainting look at it.

        Raises:
            NodeError: the entry does not fit the network (a context of another width, an unsupported extra).
        """
        ...

    def denoise(self, x: Tensor, sigma: Tensor, inputs: ConditionInputs) -> Tensor:
        """One batched forward: x float32 [b c h w] at network scale, sigma float32 [b] -> denoised float32 [b c h w].

        Whoever asks gives sigma on the CPU, wherever x is.

        Raises:
            OutOfMemory: not even the smallest plan for this batch fits.
        """
        ...
