"""Where a silhouette occurs in a soft map: normalised cross-correlation, with checks against chance likeness."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

__all__ = ["SIDE_PX", "Silhouette", "SoftMap", "silhouette_of"]

SIDE_PX = 128
"""Pictures are read at this size."""
_SHAPE_FLOOR = 0.42
_CONTRAST_FLOOR = 0.18
_ENCLOSURE_FLOOR = 0.40
_SECTORS = 12
_PEAKS = 8


@dataclass(frozen=True, slots=True)
class Silhouette:
    """A shape to look for: `area` float32 [h w], 0 … 1, and what its search needs.

    `norm` is the length of the centred area and `transform` the conjugate spectrum of the centred area of length 1.
    `ring` holds the pixels just outside the outline by direction, [sectors h*w], each row summing to 1.
    """

    area: np.ndarray
    norm: float
    transform: np.ndarray
    ring: np.ndarray


def silhouette_of(area: np.ndarray, coverage: np.ndarray) -> Silhouette:
    """The silhouette of an area float32 [h w] of an object that covers uint8 [h w]; both with a margin."""
    centred = area - area.mean()
    norm = float(np.sqrt((centred**2).sum()))
    padded = np.zeros((SIDE_PX, SIDE_PX), dtype=np.float32)
    padded[: area.shape[0], : area.shape[1]] = centred / norm
    return Silhouette(area, norm, np.conj(np.fft.rfft2(padded)), _ring(coverage))


def _ring(coverage: np.ndarray) -> np.ndarray:
    """The pixels within two of the outline and outside it, by direction from the middle: [sectors h*w]."""
    height, width = coverage.shape
    grown = np.asarray(Image.fromarray(np.ascontiguousarray(coverage)).filter(ImageFilter.MaxFilter(5)))
    outside = (grown > 60) & (coverage < 20)
    rows, columns = np.mgrid[:height, :width]
    angle = np.arctan2(rows - (height - 1) / 2, (columns - (width - 1) / 2) * height / width)
    sector = np.floor((angle / (2 * np.pi) + 0.5) * _SECTORS).astype(int) % _SECTORS
    members = [(outside & (sector == number)).ravel().astype(np.float32) for number in range(_SECTORS)]
    return np.stack([member / member.sum() for member in members if member.any()])


class SoftMap:
    """A map float32 [128 128], 0 … 1, prepared for looking up many silhouettes."""

    __slots__ = ("_spectrum", "_squares", "_sums", "_values")

    def __init__(self, values: np.ndarray) -> None:
        self._values = values
        self._spectrum = np.fft.rfft2(values)
        self._sums, self._squares = _integral(values), _integral(values**2)

    def matches(self, silhouette: Silhouette) -> Iterator[tuple[int, int, float, float]]:
        """Places (row, column of the window's corner) where the silhouette lies, with their correlation and enclosure.

        Enclosure is the share of directions in which the map falls off at the outline. Left out is what hardly
        differs from its surroundings and what goes on beyond the outline.
        """
        height, width = silhouette.area.shape
        products = np.fft.irfft2(self._spectrum * silhouette.transform, s=self._values.shape)
        products = products[: SIDE_PX - height + 1, : SIDE_PX - width + 1]
        count = height * width
        mean = _window(self._sums, height, width) / count
        spread = np.maximum(_window(self._squares, height, width) / count - mean**2, 1e-6)
        scores = products / np.sqrt(spread * count)
        scores[products < _CONTRAST_FLOOR * silhouette.norm] = 0.0
        for row, column, score in _peaks(scores, min(height, width) // 3 + 1):
            enclosure = self._enclosure(silhouette, row, column)
            if enclosure >= _ENCLOSURE_FLOOR:
                yield row, column, score, enclosure

    def _enclosure(self, silhouette: Silhouette, row: int, column: int) -> float:
        """The share of directions in which the map falls off at the outline."""
        height, width = silhouette.area.shape
        patch = self._values[row : row + height, column : column + width]
        inside = float((patch * silhouette.area).sum() / silhouette.area.sum())
        return float((silhouette.ring @ patch.ravel() < 0.5 * inside).mean())


def _peaks(scores: np.ndarray, apart: int) -> list[tuple[int, int, float]]:
    """The highest places that are not too close together."""
    peaks: list[tuple[int, int, float]] = []
    if float(scores.max()) < _SHAPE_FLOOR:
        return peaks
    left = scores.copy()
    for _ in range(_PEAKS):
        row, column = divmod(int(left.argmax()), left.shape[1])
        score = float(left[row, column])
        if score < _SHAPE_FLOOR:
            break
        peaks.append((row, column, score))
        left[
            max(0, row - apart) : row + apart + 1,
            max(0, column - apart) : column + apart + 1,
        ] = 0
    return peaks


def _integral(values: np.ndarray) -> np.ndarray:
    """Sums over all rectangles from the corner, float64 [h+1 w+1]."""
    total = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    total[1:, 1:] = values.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    return total


def _window(integral: np.ndarray, height: int, width: int) -> np.ndarray:
    """Sums over all windows of this size that lie inside."""
    below, above = integral[height:], integral[:-height]
    return below[:, width:] - above[:, width:] - below[:, :-width] + above[:, :-width]
