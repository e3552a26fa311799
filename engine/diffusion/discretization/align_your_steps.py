"""Optimized levels of known networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

__all__ = ["ALIGNED_LEVELS", "align_your_steps_levels"]

ALIGNED_LEVELS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "SD1": (
            14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092, 0.9642583904,
            0.6523686016, 0.3977456272, 0.1515232662, 0.0291671582,
        ),
        "SDXL": (
            14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945, 0.8620721141, 0.5550693289,
            0.3798540708, 0.2332364134, 0.1114188177, 0.0291671582,
        ),
        "SVD": (700.00, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002),
    }
)  # fmt: skip
"""Eleven levels each, those of ten steps. Source: Sabour et al. 2024, arXiv:2404.14507, and its project page."""


def align_your_steps_levels(model_type: str, steps: int, denoise: float = 1.0) -> tuple[float, ...]:
    """The levels of a kind of network for any number of steps, the last one 0; a denoise below 1 keeps the last steps.

    None at all for a denoise of 0.
    """
    if denoise <= 0.0:
        return ()
    levels = _log_linear(ALIGNED_LEVELS[model_type], steps + 1)
    kept = round(steps * denoise)
    return (*levels[-(kept + 1) : -1], 0.0)


def _log_linear(levels: Sequence[float], num_levels: int) -> tuple[float, ...]:
    """As many levels on the line through the logarithms of the given ones."""
    if num_levels == len(levels):
        return tuple(levels)
    places = np.linspace(0, len(levels) - 1, num_levels)
    logs = np.interp(places, np.arange(len(levels)), [math.log(level) for level in levels])
    return tuple(np.exp(logs).tolist())
