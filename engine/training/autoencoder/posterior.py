"""The diagonal Gaussian an encoder describes. Source: Kingma & Welling 2013, arXiv:1312.6114."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["GaussianPosterior"]

_MIN_LOG_VARIANCE, _MAX_LOG_VARIANCE = -30.0, 20.0


@dataclass(frozen=True, slots=True)
class GaussianPosterior:
    """Mean and log variance, each [b c h w]."""

    mean: Tensor
    log_variance: Tensor

    @classmethod
    def of(cls, moments: Tensor) -> GaussianPosterior:
        """Split an encoder's output [b 2c h w]; log variances are limited so that their exponential stays finite."""
        mean, log_variance = moments.float().chunk(2, dim=1)
        return cls(mean, log_variance.clamp(_MIN_LOG_VARIANCE, _MAX_LOG_VARIANCE))

    def sample(self, noise: Tensor) -> Tensor:
        """A latent, from standard normal noise [b c h w]; differentiable in mean and variance."""
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def kl(self) -> Tensor:
        """Divergence from the standard normal, nats summed over each item: [b]."""
        terms = self.mean.square() + self.log_variance.exp() - 1.0 - self.log_variance
        return 0.5 * torch.sum(terms, dim=(1, 2, 3))
