"""Random holes: what people paint over, and what programs cut out."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from PIL import Image, ImageDraw

from engine.training.postcards.chance import Chance

__all__ = ["MaskRecipe", "random_mask"]

_BOX_SIDES = (0.2, 0.7)
_KEPT_SIDES = (0.35, 0.85)
"""Sides of rectangles in shares of the picture's: of those to fill, and of what is left when all around is to fill."""
_STROKE_WIDTHS = (0.04, 0.2)
_STEPS = (0.08, 0.3)
"""Width of a brush and length of its straight pieces, in shares of the picture's shorter side."""
_MAX_BOXES, _MAX_STROKES, _MAX_PIECES = 3, 3, 8


@dataclass(frozen=True, slots=True)
class MaskRecipe:
    """How often a hole is of which form; only the numbers' proportions count.

    boxes: one to three rectangles. strokes: lines of a thick brush. outside: all but a rectangle, as in outpainting.
    everything: the whole picture, so that the network can still paint from nothing.
    """

    boxes: float = 0.4
    strokes: float = 0.35
    outside: float = 0.1
    everything: float = 0.15

    def __post_init__(self) -> None:
        weights = [getattr(self, field.name) for field in fields(self)]
        if min(weights) < 0 or sum(weights) <= 0:
            raise ValueError("the shares of forms are not negative, and one of them is above 0")


def random_mask(recipe: MaskRecipe, chance: Chance, height: int, width: int) -> np.ndarray:
    """A hole, float32 [h w]: 1 where the picture is to be made, 0 elsewhere. It is a function of the chance."""
    forms = [field.name for field in fields(recipe)]
    form = chance.stream("form").weighted(forms, [getattr(recipe, name) for name in forms])
    if form == "everything":
        return np.ones((height, width), np.float32)
    canvas = Image.new("L", (width, height))
    draw = ImageDraw.Draw(canvas)
    if form == "strokes":
        for number in range(1 + chance.stream("count").below(_MAX_STROKES)):
            _paint_stroke(draw, chance.stream("stroke", number), height, width)
    elif form == "boxes":
        for number in range(1 + chance.stream("count").below(_MAX_BOXES)):
            draw.rectangle(_box(chance.stream("box", number), _BOX_SIDES, height, width), fill=1)
    else:
        draw.rectangle(_box(chance.stream("kept"), _KEPT_SIDES, height, width), fill=1)
    mask = np.asarray(canvas, np.float32)
    return 1.0 - mask if form == "outside" else mask


def _box(chance: Chance, sides: tuple[float, float], height: int, width: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom in pixels, all within."""
    box_width, box_height = (max(1, round(chance.between(*sides) * side)) for side in (width, height))
    left, top = chance.below(width - box_width + 1), chance.below(height - box_height + 1)
    return left, top, left + box_width - 1, top + box_height - 1


def _paint_stroke(draw: ImageDraw.ImageDraw, chance: Chance, height: int, width: int) -> None:
    """A line that wanders and may leave the picture."""
    side = min(height, width)
    radius = max(1.0, chance.between(*_STROKE_WIDTHS) * side / 2)
    x, y, angle = chance.between(0, width), chance.between(0, height), chance.between(0, 2 * math.pi)
    for _ in range(1 + chance.below(_MAX_PIECES)):
        angle += chance.between(-1, 1)
        length = chance.between(*_STEPS) * side
        end = (x + length * math.cos(angle), y + length * math.sin(angle))
        draw.line([(x, y), end], fill=1, width=round(2 * radius))
        for centre in ((x, y), end):
            draw.ellipse([centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius], fill=1)
        x, y = end
