"""Grey morphology with square windows: shrinking and growing what is bright."""

from __future__ import annotations

import numpy as np

__all__ = ["closed", "opened"]


def opened(values: np.ndarray, side_px: int) -> np.ndarray:
    """Without bright spots and lines narrower than the window; [h w …], odd window side."""
    return _extreme(_extreme(values, side_px, np.minimum), side_px, np.maximum)


def closed(values: np.ndarray, side_px: int) -> np.ndarray:
    """Without dark spots and lines narrower than the window; [h w …], odd window side."""
    return _extreme(_extreme(values, side_px, np.maximum), side_px, np.minimum)


def _extreme(values: np.ndarray, side_px: int, extreme: np.ufunc) -> np.ndarray:
    """The least or greatest value in the window around each place; the border repeats."""
    reach = side_px // 2
    for axis in range(2):
        pad = [(0, 0)] * values.ndim
        pad[axis] = (reach, reach)
        padded = np.pad(values, pad, mode="edge")
        length = values.shape[axis]
        shifted = [padded.take(range(start, start + length), axis=axis) for start in range(side_px)]
        values = extreme.reduce(shifted)
    return values
