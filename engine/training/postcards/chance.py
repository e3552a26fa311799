"""Deterministic choices: a stream of numbers that depends on its key alone.

The numbers are splitmix64 (Steele, Lea & Flood 2014), so they are the same in every process and Python version.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

__all__ = ["Chance"]

_T = TypeVar("_T")
_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


class Chance:
    """A stream of choices. Streams of different keys are independent; equal keys give equal streams."""

    __slots__ = ("_key", "_state")

    def __init__(self, *key: int | str) -> None:
        self._key = key
        digest = blake2b(repr(key).encode(), digest_size=8).digest()
        self._state = int.from_bytes(digest, "little")

    def stream(self, *key: int | str) -> Chance:
        """The stream whose key is this one's key and these words; not changed by what was drawn here."""
        return Chance(*self._key, *key)

    def bits(self) -> int:
        """The next 64 random bits."""
        self._state = (self._state + _GOLDEN) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return mixed ^ (mixed >> 31)

    def unit(self) -> float:
        """A number in [0, 1)."""
        return (self.bits() >> 11) / (1 << 53)

    def between(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self.unit()

    def below(self, bound: int) -> int:
        """A whole number in [0, bound)."""
        return self.bits() % bound

    def happens(self, probability: float) -> bool:
        """True in this share of draws."""
        return self.unit() < probability

    def pick(self, items: Sequence[_T]) -> _T:
        """One of the items, all equally likely."""
        return items[self.below(len(items))]

    def weighted(self, items: Sequence[_T], weights: Sequence[float]) -> _T:
        """One of the items, as likely as its weight."""
        mark = self.unit() * sum(weights)
        for item, weight in zip(items, weights):
            mark -= weight
            if mark < 0:
                return item
        return items[-1]
