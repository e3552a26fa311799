"""How the things that float are drawn: boat, balloon, bird."""

from __future__ import annotations

from math import pi, sin

from engine.training.postcards.drawing import Brush, curve
from engine.training.postcards.palette import Inks

__all__ = ["balloon", "bird", "boat"]

_BIRD_BODY = curve(
    ((0.13, 0.50), (0.26, 0.40), (0.46, 0.46), (0.74, 0.52), (1.02, 0.56), (1.40, 0.50), (1.28, 0.66), (1.42, 0.76),
     (1.06, 0.76), (0.74, 0.86), (0.42, 0.82), (0.22, 0.68))
)  # fmt: skip
_BIRD_FAR_WING = curve(((0.56, 0.56), (0.50, 0.26), (0.36, 0.04), (0.62, 0.10), (0.80, 0.30), (0.86, 0.58)), 5)
_BIRD_WING = curve(
    ((0.50, 0.60), (0.66, 0.34), (0.98, 0.02), (1.06, 0.14), (1.02, 0.38), (0.90, 0.62), (0.66, 0.70)), 5
)


def boat(brush: Brush, ink: Inks) -> None:
    """A sailing boat with two sails."""
    brush.line(((0.50, 0.02), (0.50, 0.80)), 0.032, ink.wood)
    brush.polygon(((0.535, 0.05), (0.535, 0.70), (0.93, 0.70), (0.78, 0.36)), ink.main, is_own=True)
    brush.shade(((0.535, 0.52), (0.86, 0.52), (0.93, 0.70), (0.535, 0.70)), ink.dark, 0.45)
    brush.polygon(((0.465, 0.12), (0.465, 0.70), (0.10, 0.70)), ink.light, is_own=True)
    brush.polygon(
        curve(((0.02, 0.76), (0.96, 0.76), (0.84, 0.98), (0.50, 1.0), (0.18, 0.98)), 5), ink.dark, is_own=True
    )
    brush.polygon(((0.015, 0.755), (0.965, 0.755), (0.935, 0.825), (0.05, 0.825)), ink.trim)


def balloon(brush: Brush, ink: Inks) -> None:
    """A hot-air balloon with its basket."""
    for x, foot in ((0.16, 0.315), (0.58, 0.425)):
        brush.line(((x, 0.60), (foot, 0.88)), 0.016, ink.wood)
    brush.box(0.30, 0.86, 0.44, 0.995, ink.wood)
    brush.box(0.285, 0.85, 0.455, 0.885, ink.coal)
    for share, tone in ((1.0, ink.main), (0.70, ink.light), (0.40, ink.main), (0.12, ink.light)):
        brush.polygon(_gore(0.355 * share), tone, is_own=True)
    far_side = [(x, y) for x, y in _gore(0.355) if x >= 0.37]
    brush.shade([*reversed(far_side), (0.55, 0.1), (0.56, 0.4), (0.44, 0.78)], ink.deep, 0.16)
    brush.polygon(((0.275, 0.755), (0.465, 0.755), (0.445, 0.80), (0.295, 0.80)), ink.deep, is_own=True)


def _gore(half_width: float) -> list[tuple[float, float]]:
    """The envelope's outline, narrowed to this half width."""
    heights = [number / 24 for number in range(25)]
    profile = [(sin(pi * min(1.0, y / 0.92) ** 0.82) ** 0.72 if y < 0.62 else 0.0, y) for y in heights]
    waist = next(width for width, y in reversed(profile) if y < 0.62)
    right = []
    for width, y in profile:
        if y >= 0.62:
            t = (y - 0.5833) / (1 - 0.5833)
            width = waist + (0.26 - waist) * (t * 0.75 + 0.25 * t * t)
        right.append((half_width * width, 0.01 + y * 0.76))
    return [(0.37 + width, y) for width, y in right] + [(0.37 - width, y) for width, y in reversed(right)]


def bird(brush: Brush, ink: Inks) -> None:
    """A flying bird, seen from the side."""
    brush.polygon(_BIRD_FAR_WING, ink.dark, is_own=True)
    brush.polygon(((0.17, 0.52), (0.0, 0.60), (0.17, 0.66)), ink.gold)
    brush.polygon(_BIRD_BODY, ink.main, is_own=True)
    brush.shade_ellipse(0.52, 0.74, 0.24, 0.09, ink.light, 0.6)
    brush.polygon(_BIRD_WING, ink.main, is_own=True)
    brush.shade(((0.62, 0.56), (0.74, 0.38), (1.04, 0.10), (1.02, 0.38), (0.90, 0.62), (0.70, 0.68)), ink.deep, 0.40)
    brush.ellipse(0.27, 0.535, 0.048, 0.048, ink.trim)
    brush.ellipse(0.262, 0.535, 0.03, 0.03, ink.coal)
