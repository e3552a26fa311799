"""The scale of latents: measured over many pictures, and changed in an autoencoder without changing what it does."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.nn.autoencoder import Autoencoder
from engine.training.autoencoder.posterior import GaussianPosterior
from engine.training.config.error import ConfigError

__all__ = ["LatentStatistics", "normalise_latents"]


@dataclass(frozen=True, slots=True)
class LatentStatistics:
    """Mean and standard deviation of each latent channel, over pictures and places; the posterior's variance counts."""

    means: tuple[float, ...]
    deviations: tuple[float, ...]
    num_pictures: int

    @classmethod
    def of(cls, posteriors: Iterable[GaussianPosterior]) -> LatentStatistics:
        """Measure; in double precision, as sums of squares cancel."""
        count, num_pictures = 0, 0
        total = squares = torch.zeros(())
        for posterior in posteriors:
            mean = posterior.mean.double().cpu()
            second = mean.square() + posterior.log_variance.double().exp().cpu()
            total, squares = total + mean.sum(dim=(0, 2, 3)), squares + second.sum(dim=(0, 2, 3))
            count += mean.shape[0] * mean.shape[2] * mean.shape[3]
            num_pictures += mean.shape[0]
        if not count:
            raise ValueError("latents of no picture have no statistics")
        means = total / count
        deviations = (squares / count - means.square()).clamp_min(0).sqrt()
        return cls(tuple(means.tolist()), tuple(deviations.tolist()), num_pictures)

    @property
    def deviation(self) -> float:
        """Standard deviation of all values about their common mean."""
        mean = sum(self.means) / len(self.means)
        return math.sqrt(
            sum(d**2 + (m - mean) ** 2 for d, m in zip(self.deviations, self.means, strict=True)) / len(self.means)
        )


@torch.no_grad()
def normalise_latents(network: Autoencoder, statistics: LatentStatistics, deviation: float) -> LatentStatistics:
    """Give latents mean 0 and this standard deviation, by the 1x1 convolutions on both sides of them.

    What the autoencoder makes of a picture stays the same up to rounding. In the KL form every channel gets its own
    factor; in the VQ form all have one, since nearest entries depend on the channels' proportions.

    Returns the statistics afterwards. Raises ConfigError for an autoencoder without those convolutions, or one that
    leaves a channel unused.
    """
    if not network.config.has_quant_convs:
        raise ConfigError(
            "Only an autoencoder with quant_conv and post_quant_conv can be given another latent scale.",
            hint="Set model.has_quant_convs=true, or leave out export.normalise_latent_std.",
        )
    is_kl = network.config.codebook_size is None
    given = (
        statistics.deviations if is_kl else (math.sqrt(_mean_square(statistics.deviations)),) * len(statistics.means)
    )
    if min(given) <= 0:
        raise ConfigError("A latent channel is always the same.", hint="Train longer, or with fewer latent_channels.")
    weight = network.quant_conv.weight
    factors = torch.tensor([deviation / d for d in given], dtype=torch.float64, device=weight.device)
    means = torch.tensor(statistics.means, dtype=torch.float64, device=weight.device)
    inner, outer = network.quant_conv, network.post_quant_conv
    count = len(given)
    _store(inner.weight[:count], inner.weight[:count] * factors.view(-1, 1, 1, 1))
    _store(_bias(inner)[:count], (_bias(inner)[:count] - means) * factors)
    if is_kl:
        _store(_bias(inner)[count:], _bias(inner)[count:] + 2 * factors.log())
    else:
        entries = network.quantize.embedding.weight
        _store(entries, (entries - means) * factors)
    _store(_bias(outer), _bias(outer) + outer.weight[:, :, 0, 0].double() @ means)
    _store(outer.weight, outer.weight / factors.view(1, -1, 1, 1))
    deviations = tuple(d * f for d, f in zip(statistics.deviations, factors.tolist(), strict=True))
    return LatentStatistics((0.0,) * count, deviations, statistics.num_pictures)


def _mean_square(values: tuple[float, ...]) -> float:
    return sum(value**2 for value in values) / len(values)


def _bias(layer: torch.nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias


def _store(target: Tensor, value: Tensor) -> None:
    target.copy_(value)
