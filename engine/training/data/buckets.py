"""Aspect-ratio buckets: frames of nearly equal area, and batches that never mix them.

Source: Podell et al. 2023, arXiv:2307.01952, section 2.3 and appendix I.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from engine.training.data.place import Place, shuffled

__all__ = ["BucketRecipe", "BucketSampler", "bucket_sizes", "nearest_bucket"]


@dataclass(frozen=True, slots=True)
class BucketRecipe:
    """Which frames there are: sides are multiples of `multiple` pixels, long over short at most `max_aspect`."""

    multiple: int = 64
    max_aspect: float = 4.0

    def __post_init__(self) -> None:
        if self.multiple < 1 or self.max_aspect < 1:
            raise ValueError("buckets need a multiple of at least 1 and a max_aspect of at least 1")


def bucket_sizes(size: int, recipe: BucketRecipe) -> tuple[tuple[int, int], ...]:
    """(height, width) of each bucket, from the widest to the tallest, each the mirror of another or square.

    The square one is the nearest to `size`. All others have the area size · size as nearly as a multiple allows: for
    a short side s the long side is off by at most half a multiple, so the area by at most s · multiple / 2. A size
    below one multiple has one square bucket of just that size.
    """
    multiple = recipe.multiple
    if size < multiple:
        return ((size, size),)
    square = round(size / multiple) * multiple
    wide = [
        (short, long)
        for short in range(multiple, square, multiple)
        if short < (long := round(size * size / short / multiple) * multiple) <= short * recipe.max_aspect
    ]
    return (*wide, (square, square), *((long, short) for short, long in reversed(wide)))


def nearest_bucket(height: int, width: int, sizes: Sequence[tuple[int, int]]) -> int:
    """Number of the bucket whose aspect ratio is nearest on a logarithmic scale; the wider one of two equals."""
    aspect = math.log(height / width)
    return min(range(len(sizes)), key=lambda n: (abs(aspect - math.log(sizes[n][0] / sizes[n][1])), n))


class BucketSampler:
    """Endless batches of places, each from one bucket; the counterpart of `StepSampler`, with the same draws.

    In an epoch every bucket is permuted and cut into batches for all ranks together; the last one is filled up from
    the bucket's start. The batches of all buckets are then permuted. All follows from the seed and the step.
    """

    def __init__(
        self,
        buckets: Sequence[Sequence[int]],
        batch_size: int,
        seed: int,
        start_step: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self._buckets = [bucket for bucket in buckets if len(bucket)]
        if not self._buckets or batch_size < 1:
            raise ValueError(f"batches of {batch_size} cannot be made from {len(self._buckets)} buckets")
        self._batch_size = batch_size
        self._seed = seed
        self._start_step = start_step
        self._rank = rank
        self._world = world
        self._ends: list[int] = []
        for bucket in self._buckets:
            self._ends.append((self._ends[-1] if self._ends else 0) + -(-len(bucket) // (batch_size * world)))

    @property
    def num_steps(self) -> int:
        """Steps of an epoch."""
        return self._ends[-1]

    def __iter__(self) -> Iterator[list[Place]]:
        step = self._start_step
        while True:
            yield self.batch(step)
            step += 1

    def batch(self, step: int) -> list[Place]:
        """The places of one batch."""
        epoch, position = divmod(step, self.num_steps)
        slot = int(shuffled(np.array([position], dtype=np.int64), self.num_steps, self._seed, epoch)[0])
        number = bisect.bisect_right(self._ends, slot)
        bucket = self._buckets[number]
        group = slot - (self._ends[number - 1] if number else 0)
        first = (group * self._world + self._rank) * self._batch_size
        positions = np.arange(first, first + self._batch_size, dtype=np.int64) % len(bucket)
        order = shuffled(positions, len(bucket), self._seed, epoch)
        draw = (step * self._world + self._rank) * self._batch_size
        return [Place(int(bucket[item]), draw + offset) for offset, item in enumerate(order.tolist())]
