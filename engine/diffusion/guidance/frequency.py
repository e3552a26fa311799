"""Low and high frequencies of a latent, each made stronger or weaker."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.diffusion.requests import Latent

__all__ = ["FrequencyScaling"]


@dataclass(frozen=True, slots=True)
class FrequencyScaling:
    """A latent operation: frequencies below `cutoff` in both directions times `low`, all others times `high`.

    cutoff: in cycles over the picture.
    Source: Huang et al. 2025, arXiv:2504.02154, where it is applied to the difference that guides.
    """

    low: float
    high: float
    cutoff: int

    def __call__(self, latent: Latent) -> Latent:
        """[… h w] → [… h w]; computed in single precision."""
        height, width = latent.shape[-2:]
        rows, columns = (torch.fft.fftfreq(side, 1.0 / side, device=latent.device) for side in (height, width))
        # As many negative frequencies as the cutoff says, and one fewer above zero: a square around the centre.
        is_low = _inside(rows, self.cutoff)[:, None] & _inside(columns, self.cutoff)
        factors = torch.where(is_low, self.low, self.high)
        return torch.fft.ifft2(torch.fft.fft2(latent.float()) * factors).real.to(latent.dtype)


def _inside(frequencies: torch.Tensor, cutoff: int) -> torch.Tensor:
    return (frequencies >= -cutoff) & (frequencies < cutoff)
