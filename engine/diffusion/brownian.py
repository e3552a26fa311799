"""A Brownian path that is a function of its seed alone, however it is queried.

The path is built by midpoint refinement over a dyadic tree; each node draws from a seed made of the node's place in
the tree. Paths equal those of torchsde's `BrownianTree` of the same entropy: seeds of shared pictures rely on it.
Source: Li et al. 2020, arXiv:2001.01328, section 4 (virtual Brownian tree).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = ["BrownianPath"]

TIME_DIGITS = 6
"""Times are rounded to this many decimals, which ends the refinement."""

SEED_POOL_SIZE = 24


@dataclass(frozen=True, slots=True, eq=False)
class _Interval:
    """Part of the path: its value at the start and its increment, float64, and its place in the tree."""

    start: float
    end: float
    at_start: Tensor
    increment: Tensor
    index: int
    depth: int

    @property
    def midpoint(self) -> float:
        return round(0.5 * (self.end + self.start), TIME_DIGITS)


class BrownianPath:
    """Brownian motion W on [start, end] with W(start) = 0.

    Args:
        start, end: time range; start < end.
        shape: of one value.
        seed: any non-negative int.
    """

    def __init__(self, start: float, end: float, shape: Sequence[int], seed: int) -> None:
        start, end = round(start, TIME_DIGITS), round(end, TIME_DIGITS)
        if not start < end:
            raise ValueError(f"a Brownian path needs start < end, got {start} and {end}")
        self._shape = tuple(shape)
        self._seed = seed
        root_seed = np.random.SeedSequence(entropy=seed, pool_size=SEED_POOL_SIZE).generate_state(3)[0]
        increment = self._normal(int(root_seed)) * math.sqrt(end - start)
        zero = torch.zeros(self._shape, dtype=torch.float64)
        # Queries walk along the time axis, so the way down to the last one is most of the way to the next.
        self._descent = [_Interval(start, end, zero, increment, 0, 0)]

    def at(self, time: float) -> Tensor:
        """W(time), float64 on the CPU; times outside the range are moved to its nearest end."""
        root = self._descent[0]
        time = min(max(round(time, TIME_DIGITS), root.start), root.end)
        while not self._descent[-1].start <= time <= self._descent[-1].end:
            self._descent.pop()
        # The end of several nested intervals is read off the widest, whichever was reached first: sums round apart.
        for interval in self._descent:
            if time in (interval.start, interval.end):
                return _at_end(interval, time)
        while True:
            interval = self._descent[-1]
            if time in (interval.start, interval.end):
                return _at_end(interval, time)
            left, right = self._halves(interval)
            self._descent.append(left if time <= left.end else right)

    def increment(self, start: float, end: float) -> Tensor:
        """W(end) - W(start); the times may be in either order."""
        return self.at(end) - self.at(start)

    def _halves(self, interval: _Interval) -> tuple[_Interval, _Interval]:
        middle = interval.midpoint
        before, after, length = middle - interval.start, interval.end - middle, interval.end - interval.start
        place = np.random.SeedSequence(
            entropy=self._seed, spawn_key=(interval.index, interval.depth), pool_size=SEED_POOL_SIZE
        )
        normal = self._normal(int(place.generate_state(4)[0]))
        first = interval.increment * (before / length) + normal * math.sqrt(before * after / length)
        index, depth = 2 * interval.index, interval.depth + 1
        return (
            _Interval(interval.start, middle, interval.at_start, first, index, depth),
            _Interval(middle, interval.end, interval.at_start + first, interval.increment - first, index + 1, depth),
        )

    def _normal(self, seed: int) -> Tensor:
        generator = torch.Generator("cpu").manual_seed(seed)
        return torch.randn(self._shape, generator=generator, dtype=torch.float32).double()


def _at_end(interval: _Interval, time: float) -> Tensor:
    return interval.at_start if time == interval.start else interval.at_start + interval.increment
