"""A curve of numbers as a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw, ImageFont

from engine.imaging.picture import from_picture

__all__ = ["draw_losses"]

_MARGIN = (64, 24, 20, 36)
"""Pixels left, top, right and bottom of the curve's field."""
_PAPER, _INK, _GRID, _FAINT, _CURVE = (255, 255, 255), (60, 60, 60), (226, 226, 226), (190, 205, 230), (36, 84, 168)
_NUM_LINES = 5
_SMOOTHED_PART = 20


def draw_losses(losses: Sequence[float], width_px: int = 800, height_px: int = 480) -> torch.Tensor:
    """Loss over steps as an image [h w 3] in [0, 1]: every step faintly, and above it the running mean.

    Values that are not finite leave gaps. No values give an empty field.
    """
    picture = Image.new("RGB", (width_px, height_px), _PAPER)
    draw = ImageDraw.Draw(picture)
    left, top, right, bottom = _MARGIN
    field = (left, top, width_px - right, height_px - bottom)
    low, high = _range(losses)
    _draw_axes(draw, field, low, high, len(losses))
    for values, color, weight in ((losses, _FAINT, 1), (_smoothed(losses), _CURVE, 2)):
        _draw_curve(draw, field, values, (low, high), color, weight)
    return from_picture(picture)


def _range(values: Sequence[float]) -> tuple[float, float]:
    """The ends of the vertical axis: all finite values with a little room, never without height; zero is an end."""
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    room = 0.05 * (high - low) or max(abs(high), 1.0) * 0.05
    bottom = low - room
    return (0.0 if low >= 0 > bottom else bottom), high + room


def _smoothed(values: Sequence[float]) -> list[float]:
    """The mean of each value with those just before it, over a twentieth of the curve."""
    window = max(1, len(values) // _SMOOTHED_PART)
    means = []
    for place in range(len(values)):
        finite = [value for value in values[max(0, place + 1 - window) : place + 1] if math.isfinite(value)]
        means.append(sum(finite) / len(finite) if finite else math.nan)
    return means


def _draw_axes(
    draw: ImageDraw.ImageDraw, field: tuple[int, int, int, int], low: float, high: float, num_steps: int
) -> None:
    left, top, right, bottom = field
    font = ImageFont.load_default()
    for line in range(_NUM_LINES):
        part = line / (_NUM_LINES - 1)
        y = bottom - part * (bottom - top)
        draw.line((left, y, right, y), fill=_GRID)
        draw.text((left - 6, y), f"{low + part * (high - low):.3g}", fill=_INK, font=font, anchor="rm")
        x = left + part * (right - left)
        step = round(1 + part * max(0, num_steps - 1))
        draw.text((x, bottom + 6), str(step), fill=_INK, font=font, anchor="mt")
    draw.rectangle(field, outline=_INK)
    draw.text((left, top - 6), "loss", fill=_INK, font=font, anchor="lb")
    draw.text((right, bottom + 20), "steps", fill=_INK, font=font, anchor="rt")


def _draw_curve(
    draw: ImageDraw.ImageDraw,
    field: tuple[int, int, int, int],
    values: Sequence[float],
    ends: tuple[float, float],
    color: tuple[int, int, int],
    weight: int,
) -> None:
    left, top, right, bottom = field
    low, high = ends
    last = max(1, len(values) - 1)
    before: tuple[float, float] | None = None
    for place, value in enumerate(values):
        if not math.isfinite(value):
            before = None
            continue
        point = (left + place / last * (right - left), bottom - (value - low) / (high - low) * (bottom - top))
        if before is None:
            draw.ellipse((point[0] - weight, point[1] - weight, point[0] + weight, point[1] + weight), fill=color)
        else:
            draw.line((*before, *point), fill=color, width=weight)
        before = point
