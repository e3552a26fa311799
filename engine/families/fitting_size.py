"""How large a picture may be where the one that was asked for does not fit."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["largest_that_fits"]

_CELLS = 8
"""Sides in whole groups of this many latent cells: 64 pixels, which every network divides as often as it wants."""


def largest_that_fits(height: int, width: int, fits: Callable[[int, int], bool]) -> tuple[int, int] | None:
    """The largest latent (height, width) of about these proportions, and smaller, for which `fits`; None for none."""
    longer = max(height, width)
    for side in range((longer - 1) // _CELLS * _CELLS, 0, -_CELLS):
        scaled = [max(_CELLS, round(edge * side / longer / _CELLS) * _CELLS) for edge in (height, width)]
        if fits(scaled[0], scaled[1]):
            return scaled[0], scaled[1]
    return None
