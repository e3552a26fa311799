"""Randomness for sampling: the noise a picture starts from and the noise a stochastic sampler adds.

All of it is drawn on the CPU from generators of the picture's own seed, so a seed means the same picture whatever else
is in the batch and on every device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from engine.diffusion.brownian import BrownianPath

__all__ = ["BrownianNoise", "GaussianNoise", "NoNoise", "NoiseSource", "SeedNoise", "initial_noise"]


class NoiseSource(Protocol):
    """noise(sigma, sigma_next): standard normal values for the step between these levels."""

    def __call__(self, sigma: float, sigma_next: float) -> Tensor:
        """Noise of the shape and on the device of the latent; float32."""
        ...


def initial_noise(shape: Sequence[int], seed: int, batch_index: Sequence[int] | None = None) -> Tensor:
    """Standard normal noise float32 [b c h w] on the CPU.

    Args:
        shape: shape of the latent.
        seed: 0 ≤ seed < 2⁶⁴.
        batch_index: for each item, its place in the batch the seed stands for; None means 0, 1, 2 …. Items of equal
            place get equal noise, and an item taken out of a batch keeps the noise it had there.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    if batch_index is None:
        return torch.randn(tuple(shape), generator=generator, dtype=torch.float32)
    item_shape = (1, *shape[1:])
    drawn = [torch.randn(item_shape, generator=generator) for _ in range(max(batch_index) + 1)]
    return torch.cat([drawn[index] for index in batch_index])


@dataclass(frozen=True, slots=True)
class SeedNoise:
    """The initial noise of a seed; the value of a NOISE socket."""

    seed: int

    def generate_noise(self, latent: Mapping[str, Any]) -> Tensor:
        """`initial_noise` for the items of a LATENT value."""
        return initial_noise(latent["samples"].shape, self.seed, latent.get("batch_index"))


@dataclass(frozen=True, slots=True)
class NoNoise:
    """No initial noise; samplers that add their own take it from this seed."""

    seed: int = 0

    def generate_noise(self, latent: Mapping[str, Any]) -> Tensor:
        """Zeros like the samples of a LATENT value."""
        return torch.zeros(latent["samples"].shape, dtype=torch.float32)


class GaussianNoise:
    """Independent noise at every call, in call order.

    The sequence starts over from the seed, so its first values are those of the initial noise. Statistically a new
    seed would be better; pictures of shared workflows depend on this one.
    """

    def __init__(self, like: Tensor, seed: int) -> None:
        self._shape = like.shape
        self._device = like.device
        self._generator = torch.Generator("cpu").manual_seed(seed)

    def __call__(self, sigma: float, sigma_next: float) -> Tensor:
        """Fresh values; the levels do not matter."""
        return torch.randn(self._shape, generator=self._generator, dtype=torch.float32).to(self._device)

    def like(self, latent: Tensor) -> Tensor:
        """Fresh values for a latent of another size."""
        return torch.randn(latent.shape, generator=self._generator, dtype=torch.float32).to(self._device)


class BrownianNoise:
    """Scaled increments of one Brownian path over the noise levels.

    Steps that share an end share randomness consistently: refining the steps refines the same picture.
    """

    def __init__(self, like: Tensor, seed: int, sigma_min: float, sigma_max: float) -> None:
        self._device = like.device
        # Made when first asked: a run of one step has an empty range and needs no noise.
        self._make_path = partial(BrownianPath, sigma_min, sigma_max, tuple(like.shape), seed)
        self._path: BrownianPath | None = None

    def __call__(self, sigma: float, sigma_next: float) -> Tensor:
        """The increment from sigma to sigma_next, scaled to variance 1."""
        if self._path is None:
            self._path = self._make_path()
        increment = self._path.increment(sigma, sigma_next) / abs(sigma_next - sigma) ** 0.5
        return increment.to(self._device, torch.float32)
