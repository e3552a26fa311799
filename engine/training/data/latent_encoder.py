"""The frozen first stage as a cache of latents sees it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from engine.nn.autoencoder import Autoencoder

__all__ = ["AutoencoderEncoder", "LatentEncoder"]

_ON_CPU, _ON_ACCELERATOR = 4, 64
"""Pictures encoded at once."""


class LatentEncoder(Protocol):
    """Pixels → latents in the scale of the network that is trained on them."""

    @property
    def digest(self) -> str:
        """Equal digest, equal latents: weights, scale and shift."""
        ...

    @property
    def keeps_variance(self) -> bool:
        """Whether the answer is mean and log variance, or the mean alone."""
        ...

    def encode(self, pixels: Tensor) -> Tensor:
        """[b 3 h w] in [-1, 1] → the mean [b c h/f w/f], or mean and log variance [b 2c h/f w/f], in network scale."""
        ...


@dataclass(frozen=True, slots=True)
class AutoencoderEncoder:
    """A KL autoencoder; latents become (latent - shift) · scale.

    digest: of the weights, scale and shift. keeps_variance: answer with mean and log variance.
    computes_in: what layers compute with; weights stay as they are.
    """

    autoencoder: Autoencoder = field(repr=False)
    digest: str
    scale: float = 1.0
    shift: float = 0.0
    keeps_variance: bool = True
    computes_in: torch.dtype = torch.float32

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels [b 3 h w] on any device → moments float32 on the autoencoder's device."""
        weight = next(self.autoencoder.parameters())
        # Few at once and channels last, activations stay in a processor's cache: half the time of all at once.
        laid_out = pixels.to(weight).contiguous(memory_format=torch.channels_last)
        with torch.autocast(weight.device.type, self.computes_in, enabled=self.computes_in != weight.dtype):
            parts = [self.autoencoder.encode(part) for part in laid_out.split(_at_once(weight.device))]
        moments = torch.cat(parts).float()
        mean, log_variance = moments.chunk(2, dim=1)
        mean = (mean - self.shift) * self.scale
        if not self.keeps_variance:
            return mean
        # Var(scale · z) = scale² · Var(z); the clamp is that of latent diffusion.
        return torch.cat([mean, log_variance.clamp(-30, 20) + 2 * math.log(abs(self.scale))], dim=1)


def _at_once(device: torch.device) -> int:
    return _ON_CPU if device.type == "cpu" else _ON_ACCELERATOR
