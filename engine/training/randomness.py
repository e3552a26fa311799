"""Randomness of a run: a generator for every purpose and step, so that nothing has to be remembered to continue it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["StepChance", "derived_seed"]


def derived_seed(*parts: object) -> int:
    """A 63-bit seed from a run's seed and names or numbers that say what it is for."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@dataclass(frozen=True, slots=True)
class StepChance:
    """The random numbers of one batch: rows `first` … `first + count` of those drawn for all `total` rows of its step.

    Every rank and micro-batch draws for the whole step and takes its own rows, so that a step means the same however it
    is divided over devices and accumulated batches. The numbers depend on the kind of device.
    """

    seed: int
    step: int
    first: int
    count: int
    total: int
    device: torch.device

    @classmethod
    def of_batch(cls, seed: int, first_draw: int, count: int, total: int, device: torch.device) -> StepChance:
        """For a batch that begins with this draw of the run, in steps of `total` examples."""
        step, first = divmod(first_draw, total)
        return cls(seed, step, first, count, max(total, first + count), device)

    @property
    def on_host(self) -> StepChance:
        """The same rows drawn on the CPU, the same numbers whatever device the step runs on."""
        return replace(self, device=torch.device("cpu"))

    def normal(self, purpose: str, shape: Sequence[int]) -> Tensor:
        """Standard normal values, float32 [count, *shape]."""
        drawn = torch.randn((self.total, *shape), generator=self._generator(purpose), device=self.device)
        return drawn[self.first : self.first + self.count]

    def uniform(self, purpose: str, shape: Sequence[int] = ()) -> Tensor:
        """Values in [0, 1), float32 [count, *shape]."""
        drawn = torch.rand((self.total, *shape), generator=self._generator(purpose), device=self.device)
        return drawn[self.first : self.first + self.count]

    def stratified(self, purpose: str) -> Tensor:
        """Values in [0, 1), float32 [count]: one at random in each of `total` equal parts, so a step has no gaps."""
        parts = torch.arange(self.total, device=self.device)
        drawn = torch.rand(self.total, generator=self._generator(purpose), device=self.device)
        return ((parts + drawn) / self.total)[self.first : self.first + self.count]

    def _generator(self, purpose: str) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(derived_seed(self.seed, purpose, self.step))
