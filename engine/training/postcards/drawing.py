"""Painting with antialiasing: everything is drawn three times too large and averaged down.

Also the gentle, cached noise that gives paint its texture.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from engine.training.postcards.palette import RGB

__all__ = ["OVERSAMPLING", "Brush", "Canvas", "Point", "curve", "noise_field"]

OVERSAMPLING = 3
Point = tuple[float, float]


def curve(points: Sequence[Point], steps: int = 5) -> tuple[Point, ...]:
    """A smooth closed outline through the points (Catmull-Rom)."""
    outline = []
    count = len(points)
    for number in range(count):
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = (points[(number + offset - 1) % count] for offset in range(4))
        for step in range(steps):
            t = step / steps
            a, b, c, d = -t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2
            outline.append(((a * x0 + b * x1 + c * x2 + d * x3) / 2, (a * y0 + b * y1 + c * y2 + d * y3) / 2))
    return tuple(outline)


class Brush:
    """Draws one object on its own transparent sheet; lengths are in heights of the object.

    Keeps three layers: paint, coverage, and where the object shows its own colour (rather than a trim).
    """

    __slots__ = ("_aspect", "_coverage", "_draw_coverage", "_draw_own", "_draw_paint", "_is_mirrored", "_origin",
                 "_own", "_paint", "_scale")  # fmt: skip

    def __init__(
        self, sheet_px: tuple[int, int], origin: Point, scale: float, aspect: float, ground: RGB, is_mirrored: bool
    ) -> None:
        self._scale, self._origin, self._aspect, self._is_mirrored = scale, origin, aspect, is_mirrored
        self._paint = Image.new("RGB", sheet_px, ground)
        self._coverage = Image.new("L", sheet_px)
        self._own = Image.new("L", sheet_px)
        self._draw_paint = ImageDraw.Draw(self._paint, "RGBA")
        self._draw_coverage = ImageDraw.Draw(self._coverage)
        self._draw_own = ImageDraw.Draw(self._own)

    def polygon(self, points: Sequence[Point], colour: RGB, *, is_own: bool = False) -> None:
        """A filled polygon."""
        outline = [self._at(x, y) for x, y in points]
        self._draw_paint.polygon(outline, fill=colour)
        self._draw_coverage.polygon(outline, fill=255)
        self._draw_own.polygon(outline, fill=255 if is_own else 0)

    def box(self, left: float, top: float, right: float, bottom: float, colour: RGB, *, is_own: bool = False) -> None:
        """A filled rectangle."""
        self.polygon(((left, top), (right, top), (right, bottom), (left, bottom)), colour, is_own=is_own)

    def ellipse(
        self, x: float, y: float, radius_x: float, radius_y: float, colour: RGB, *, is_own: bool = False
    ) -> None:
        """A filled ellipse around (x, y)."""
        bounds = self._bounds(x, y, radius_x, radius_y)
        self._draw_paint.ellipse(bounds, fill=colour)
        self._draw_coverage.ellipse(bounds, fill=255)
        self._draw_own.ellipse(bounds, fill=255 if is_own else 0)

    def line(self, points: Sequence[Point], width: float, colour: RGB, *, is_own: bool = False) -> None:
        """A stroke with round corners."""
        path = [self._at(x, y) for x, y in points]
        width_px = max(1, round(width * self._scale))
        self._draw_paint.line(path, fill=colour, width=width_px, joint="curve")
        self._draw_coverage.line(path, fill=255, width=width_px, joint="curve")
        self._draw_own.line(path, fill=255 if is_own else 0, width=width_px, joint="curve")

    def shade(self, points: Sequence[Point], colour: RGB, opacity: float) -> None:
        """A translucent polygon over what is painted; covers nothing new."""
        self._draw_paint.polygon([self._at(x, y) for x, y in points], fill=(*colour, round(opacity * 255)))

    def shade_ellipse(self, x: float, y: float, radius_x: float, radius_y: float, colour: RGB, opacity: float) -> None:
        """A translucent ellipse over what is painted; covers nothing new."""
        self._draw_paint.ellipse(self._bounds(x, y, radius_x, radius_y), fill=(*colour, round(opacity * 255)))

    def layers(self) -> tuple[np.ndarray, np.ndarray]:
        """(Premultiplied paint and coverage uint8 [h w 4], own colour uint8 [h w]) at the final size."""
        sheet = Image.merge("RGBA", (*self._paint.split(), self._coverage)).convert("RGBa").reduce(OVERSAMPLING)
        return np.asarray(sheet), np.asarray(self._own.reduce(OVERSAMPLING))

    def _at(self, x: float, y: float) -> Point:
        across = self._aspect - x if self._is_mirrored else x
        return self._origin[0] + across * self._scale, self._origin[1] + y * self._scale

    def _bounds(self, x: float, y: float, radius_x: float, radius_y: float) -> tuple[float, float, float, float]:
        across, down = self._at(x, y)
        reach_x, reach_y = radius_x * self._scale, radius_y * self._scale
        return across - reach_x, down - reach_y, across + reach_x, down + reach_y


class Canvas:
    """The background sheet; lengths are shares of the picture's side."""

    __slots__ = ("_image", "_side", "size_px")

    def __init__(self, size_px: int) -> None:
        self.size_px = size_px
        self._side = size_px * OVERSAMPLING
        self._image = Image.new("RGB", (self._side, self._side))

    def gradient(self, stops: Sequence[tuple[float, RGB]], *outlines: Sequence[Point]) -> None:
        """Fill the outlines (everything, without one) with a vertical gradient; stops are (y, colour), y ascending."""
        if not outlines:
            self._image.paste(
                self._ramp(stops, 0, self._side).resize((self._side, self._side), Image.Resampling.NEAREST)
            )
            return
        points = [point for outline in outlines for point in outline]
        top = max(0, int(min(y for _, y in points) * self._side))
        bottom = min(self._side, int(max(y for _, y in points) * self._side) + 2)
        left = max(0, int(min(x for x, _ in points) * self._side))
        right = min(self._side, int(max(x for x, _ in points) * self._side) + 2)
        if top >= bottom or left >= right:
            return
        mask = Image.new("L", (right - left, bottom - top))
        pen = ImageDraw.Draw(mask)
        for outline in outlines:
            pen.polygon([(x * self._side - left, y * self._side - top) for x, y in outline], fill=255)
        fill = self._ramp(stops, top, bottom).resize(mask.size, Image.Resampling.NEAREST)
        self._image.paste(fill, (left, top), mask)

    def _ramp(self, stops: Sequence[tuple[float, RGB]], top: int, bottom: int) -> Image.Image:
        """One column of the gradient, from row to row of the enlarged sheet."""
        heights = (np.arange(top, bottom) + 0.5) / self._side
        places = [place for place, _ in stops]
        bands = [np.interp(heights, places, [colour[band] for _, colour in stops]) for band in range(3)]
        return Image.fromarray(np.rint(np.stack(bands, axis=-1)[:, None]).astype(np.uint8))

    def pen(self) -> ImageDraw.ImageDraw:
        """A pen that blends; its unit is the enlarged pixel, see `px`."""
        return ImageDraw.Draw(self._image, "RGBA")

    def px(self, *lengths: float) -> list[float]:
        """Shares of the side as enlarged pixels."""
        return [length * self._side for length in lengths]

    def glow(self, x: float, y: float, radius: float, colour: RGB, opacity: float) -> None:
        """Soft light around a point."""
        reach = max(2, round(radius * self._side))
        spot = _glow(64).resize((2 * reach, 2 * reach), Image.Resampling.BILINEAR)
        mask = spot.point([round(value * opacity) for value in range(256)])
        self._image.paste(colour, (round(x * self._side) - reach, round(y * self._side) - reach), mask)

    def picture(self) -> np.ndarray:
        """What is painted, averaged down to uint8 [h w 3]; the caller owns it."""
        return np.array(self._image.reduce(OVERSAMPLING))


@cache
def _glow(side: int) -> Image.Image:
    across = (np.arange(side) + 0.5) / side * 2 - 1
    distance = np.sqrt(across[:, None] ** 2 + across[None, :] ** 2)
    return Image.fromarray((255 * np.clip(1 - distance, 0, 1) ** 2).astype(np.uint8))


@cache
def noise_field(size_px: int, cells: int, number: int) -> np.ndarray:
    """Smooth noise int16 [size size] in about ±100, with this many cells a side. Read-only."""
    generator = np.random.Generator(np.random.PCG64(number * 7919 + cells))
    coarse = generator.integers(0, 256, size=(cells, cells), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((size_px, size_px), Image.Resampling.BICUBIC)
    field = np.asarray(smooth).astype(np.int16) - 128
    field.setflags(write=False)
    return field
