"""Which example stands where in a run: batches as a pure function of the seed and the step."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Place", "StepSampler", "shuffled"]

_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Place:
    """One example of a run.

    index: which item of the source, in range(len(source)).
    draw: number of the example in the whole run; seeds what is random about it. Endless sources use it as index.
    """

    index: int
    draw: int


class StepSampler:
    """Endless batches of places for one rank; the batch sampler of a torch DataLoader.

    Batch k of rank r holds the draws (k · world + r) · batch_size … + batch_size - 1. Every epoch of `num_items` draws
    visits each item once, in an order that depends on the seed and the epoch alone, so nothing has to be remembered to
    continue a run: start at `start_step`.
    """

    def __init__(
        self, num_items: int, batch_size: int, seed: int, start_step: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        if num_items < 1 or batch_size < 1:
            raise ValueError(f"batches of {batch_size} cannot be made from {num_items} items")
        self._num_items = num_items
        self._batch_size = batch_size
        self._seed = seed
        self._start_step = start_step
        self._rank = rank
        self._world = world

    def __iter__(self) -> Iterator[list[Place]]:
        step = self._start_step
        while True:
            yield self.batch(step)
            step += 1

    def batch(self, step: int) -> list[Place]:
        """The places of one batch."""
        first = (step * self._world + self._rank) * self._batch_size
        draws = np.arange(first, first + self._batch_size, dtype=np.int64)
        indices = np.empty_like(draws)
        epochs = draws // self._num_items
        for epoch in np.unique(epochs):
            chosen = epochs == epoch
            indices[chosen] = shuffled(draws[chosen] % self._num_items, self._num_items, self._seed, int(epoch))
        return [Place(index, draw) for index, draw in zip(indices.tolist(), draws.tolist(), strict=True)]


def shuffled(positions: NDArray[np.int64], num_items: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Where a permutation of range(num_items) sends these positions; the permutation is that of seed and epoch.

    A Feistel network over the next even power of two, walked until it lands inside the range: a permutation of any
    size without a table. Source: Black & Rogaway 2002, "Ciphers with arbitrary finite domains".
    """
    half_bits = max(1, (max(num_items - 1, 1).bit_length() + 1) // 2)
    digest = hashlib.blake2b(f"{seed}/{epoch}/{num_items}".encode(), digest_size=8 * _ROUNDS).digest()
    keys = np.frombuffer(digest, dtype=np.uint64)
    found = positions.astype(np.uint64)
    outside = np.ones(len(found), dtype=bool)
    while outside.any():
        found[outside] = _feistel(found[outside], keys, half_bits)
        outside = found >= num_items
    return found.astype(np.int64)


def _feistel(values: NDArray[np.uint64], keys: NDArray[np.uint64], half_bits: int) -> NDArray[np.uint64]:
    mask = np.uint64((1 << half_bits) - 1)
    shift = np.uint64(half_bits)
    left, right = values >> shift, values & mask
    for key in keys:
        left, right = right, left ^ (_mixed(right ^ key) & mask)
    return (left << shift) | right


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64's finaliser: every input bit changes every output bit with probability one half.

    Source: Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators".
    """
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
