"""How the things that stand on the ground are drawn: house, tree, car, lighthouse, castle, flower, cat, windmill."""

from __future__ import annotations

from math import cos, pi, sin

from engine.training.postcards.drawing import Brush, curve
from engine.training.postcards.palette import Inks

__all__ = ["car", "castle", "cat", "flower", "house", "lighthouse", "tree", "windmill"]

_CAT_BODY = curve(
    ((0.30, 0.46), (0.50, 0.44), (0.60, 0.62), (0.68, 0.86), (0.60, 0.995), (0.16, 0.995), (0.12, 0.80), (0.20, 0.60))
)
_CAT_TAIL = curve(
    ((0.58, 0.995), (0.76, 0.96), (0.80, 0.78), (0.74, 0.60), (0.80, 0.52), (0.86, 0.62), (0.86, 0.86), (0.74, 1.0))
)
_CAR_BODY = curve(
    ((0.06, 0.62), (0.14, 0.52), (0.44, 0.48), (0.62, 0.14), (0.86, 0.06), (1.16, 0.08), (1.34, 0.26), (1.48, 0.48),
     (1.78, 0.54), (1.86, 0.68), (1.84, 0.84), (0.08, 0.84))
)  # fmt: skip
_CAR_WINDOW = ((0.60, 0.48), (0.72, 0.23), (0.90, 0.17), (0.94, 0.17), (0.94, 0.48))
_CAR_REAR_WINDOW = ((1.02, 0.17), (1.14, 0.18), (1.26, 0.30), (1.36, 0.48), (1.02, 0.48))


def house(brush: Brush, ink: Inks) -> None:
    """A gabled house with a chimney, a door and two windows."""
    brush.box(0.80, 0.04, 0.92, 0.34, ink.roof)
    brush.polygon(((0.10, 0.44), (0.56, 0.07), (1.02, 0.44), (1.02, 1.0), (0.10, 1.0)), ink.main, is_own=True)
    brush.shade(((0.56, 0.07), (1.02, 0.44), (1.02, 1.0), (0.74, 1.0), (0.74, 0.5)), ink.dark, 0.55)
    brush.line(((0.02, 0.485), (0.56, 0.055), (1.10, 0.485)), 0.115, ink.roof)
    brush.ellipse(0.56, 0.36, 0.075, 0.075, ink.trim)
    brush.ellipse(0.56, 0.36, 0.048, 0.048, ink.glass)
    for left in (0.19, 0.71):
        brush.box(left, 0.56, left + 0.22, 0.80, ink.trim)
        brush.box(left + 0.03, 0.59, left + 0.19, 0.77, ink.glass)
        brush.box(left + 0.095, 0.59, left + 0.125, 0.77, ink.trim)
    brush.box(0.46, 0.62, 0.67, 1.0, ink.trim)
    brush.box(0.485, 0.65, 0.645, 1.0, ink.wood)
    brush.ellipse(0.615, 0.83, 0.018, 0.018, ink.gold)


def tree(brush: Brush, ink: Inks) -> None:
    """A round leafy tree."""
    brush.polygon(((0.345, 1.0), (0.365, 0.60), (0.425, 0.60), (0.445, 1.0)), ink.wood)
    brush.line(((0.39, 0.78), (0.24, 0.62)), 0.032, ink.wood)
    for x, y, radius in ((0.20, 0.46, 0.19), (0.58, 0.46, 0.19), (0.39, 0.54, 0.20)):
        brush.ellipse(x, y, radius, radius * 0.92, ink.dark, is_own=True)
    for x, y, radius in ((0.39, 0.25, 0.25), (0.20, 0.40, 0.185), (0.57, 0.39, 0.19), (0.38, 0.44, 0.20)):
        brush.ellipse(x, y, radius, radius * 0.94, ink.main, is_own=True)
    for x, y, radius in ((0.30, 0.20, 0.13), (0.16, 0.36, 0.09), (0.50, 0.35, 0.085)):
        brush.shade_ellipse(x, y, radius, radius * 0.85, ink.light, 0.75)


def car(brush: Brush, ink: Inks) -> None:
    """A round little car, seen from the side."""
    brush.polygon(_CAR_BODY, ink.main, is_own=True)
    brush.shade(((0.05, 0.68), (1.87, 0.70), (1.85, 0.86), (0.07, 0.86)), ink.dark, 0.6)
    brush.polygon(_CAR_WINDOW, ink.glass)
    brush.polygon(_CAR_REAR_WINDOW, ink.glass)
    brush.line(((0.98, 0.50), (0.98, 0.80)), 0.022, ink.dark)
    brush.ellipse(0.13, 0.62, 0.065, 0.075, ink.gold)
    brush.box(1.02, 0.555, 1.12, 0.59, ink.trim)
    for x in (0.44, 1.46):
        brush.ellipse(x, 0.80, 0.205, 0.20, ink.coal)
        brush.ellipse(x, 0.80, 0.10, 0.10, ink.cream)


def lighthouse(brush: Brush, ink: Inks) -> None:
    """A tapering striped tower with a lantern."""

    def side(y: float) -> float:
        return 0.095 + (y - 0.24) * 0.115

    def band(top: float, bottom: float) -> tuple[tuple[float, float], ...]:
        return (0.22 - side(top), top), (0.22 + side(top), top), (0.22 + side(bottom), bottom), (
            0.22 - side(bottom), bottom)  # fmt: skip

    brush.polygon(band(0.24, 1.0), ink.main, is_own=True)
    for top, bottom in ((0.40, 0.50), (0.66, 0.76)):
        brush.polygon(band(top, bottom), ink.trim)
    brush.shade(((0.25, 0.24), (0.22 + side(0.24), 0.24), (0.22 + side(1.0), 1.0), (0.27, 1.0)), ink.deep, 0.28)
    brush.box(0.165, 0.10, 0.275, 0.22, ink.gold)
    brush.polygon(((0.11, 0.115), (0.22, 0.0), (0.33, 0.115)), ink.main, is_own=True)
    brush.box(0.085, 0.205, 0.355, 0.25, ink.roof)
    brush.box(0.18, 0.88, 0.26, 1.0, ink.roof)
    brush.ellipse(0.22, 0.585, 0.035, 0.035, ink.roof)


def castle(brush: Brush, ink: Inks) -> None:
    """A castle: a battlemented wall with a gate between two towers with pointed roofs."""
    brush.box(0.20, 0.46, 0.90, 1.0, ink.main, is_own=True)
    for left in (0.34, 0.50, 0.66):
        brush.box(left, 0.38, left + 0.10, 0.50, ink.main, is_own=True)
    brush.shade(((0.26, 0.56), (0.84, 0.56), (0.84, 0.61), (0.26, 0.61)), ink.dark, 0.7)
    for left in (0.05, 0.79):
        brush.box(left, 0.32, left + 0.26, 1.0, ink.main, is_own=True)
        brush.shade(((left + 0.16, 0.32), (left + 0.26, 0.32), (left + 0.26, 1.0), (left + 0.16, 1.0)), ink.dark, 0.6)
        brush.polygon(((left - 0.05, 0.34), (left + 0.13, 0.02), (left + 0.31, 0.34)), ink.roof)
        brush.box(left + 0.09, 0.46, left + 0.17, 0.60, ink.glass)
    brush.ellipse(0.55, 0.78, 0.12, 0.12, ink.wood)
    brush.box(0.43, 0.78, 0.67, 1.0, ink.wood)


def flower(brush: Brush, ink: Inks) -> None:
    """A big flower with eight petals, a stem and two leaves."""
    brush.line(((0.32, 0.40), (0.33, 0.70), (0.32, 1.0)), 0.045, ink.leaf)
    brush.polygon(curve(((0.32, 0.93), (0.13, 0.84), (0.03, 0.68), (0.20, 0.72)), 4), ink.leaf)
    brush.polygon(curve(((0.33, 0.86), (0.50, 0.78), (0.60, 0.62), (0.44, 0.66)), 4), ink.leaf)
    for number in range(8):
        angle = pi * number / 4 + 0.2
        tone = ink.main if number % 2 else ink.light
        brush.ellipse(0.32 + 0.19 * cos(angle), 0.31 + 0.19 * sin(angle), 0.115, 0.115, tone, is_own=True)
    brush.ellipse(0.32, 0.31, 0.17, 0.17, ink.main, is_own=True)
    brush.ellipse(0.32, 0.31, 0.105, 0.105, ink.coal)
    brush.ellipse(0.31, 0.30, 0.085, 0.085, ink.wood)


def cat(brush: Brush, ink: Inks) -> None:
    """A sitting cat."""
    brush.polygon(_CAT_TAIL, ink.dark, is_own=True)
    brush.polygon(_CAT_BODY, ink.main, is_own=True)
    brush.shade_ellipse(0.38, 0.76, 0.13, 0.20, ink.light, 0.6)
    for left, right, tip in ((0.10, 0.32, 0.11), (0.42, 0.64, 0.63)):
        brush.polygon(((left, 0.28), (tip, 0.0), (right, 0.14)), ink.main, is_own=True)
        middle = (left + right) / 2
        brush.shade(((left * 0.6 + middle * 0.4, 0.20), (tip * 0.8 + middle * 0.2, 0.07),
                     (right * 0.6 + middle * 0.4, 0.16)), ink.deep, 0.5)  # fmt: skip
    brush.ellipse(0.37, 0.30, 0.29, 0.225, ink.main, is_own=True)
    for x in (0.25, 0.49):
        brush.ellipse(x, 0.285, 0.052, 0.058, ink.gold if sum(ink.main) < 150 else ink.trim)
        brush.ellipse(x, 0.287, 0.028, 0.048, ink.coal)
    brush.polygon(((0.335, 0.365), (0.405, 0.365), (0.37, 0.41)), ink.deep)
    for left in (0.23, 0.40):
        brush.ellipse(left + 0.07, 0.965, 0.085, 0.04, ink.light, is_own=True)


def windmill(brush: Brush, ink: Inks) -> None:
    """A windmill with four sails."""
    brush.polygon(((0.33, 0.40), (0.59, 0.40), (0.70, 1.0), (0.22, 1.0)), ink.main, is_own=True)
    brush.shade(((0.48, 0.40), (0.59, 0.40), (0.70, 1.0), (0.52, 1.0)), ink.dark, 0.6)
    brush.ellipse(0.46, 0.40, 0.145, 0.13, ink.roof)
    brush.box(0.315, 0.39, 0.605, 0.43, ink.roof)
    brush.box(0.40, 0.80, 0.52, 1.0, ink.wood)
    brush.box(0.42, 0.54, 0.50, 0.65, ink.glass)
    for number in range(4):
        angle = pi * number / 2 + 0.62
        along, across = (cos(angle), sin(angle)), (-sin(angle), cos(angle))

        def at(reach: float, aside: float, a: tuple[float, float] = along, b: tuple[float, float] = across):
            return 0.46 + a[0] * reach + b[0] * aside, 0.37 + a[1] * reach + b[1] * aside

        brush.polygon((at(0.09, 0.0), at(0.43, 0.0), at(0.43, 0.15), at(0.09, 0.15)), ink.trim)
        brush.line((at(0.0, 0.0), at(0.44, 0.0)), 0.035, ink.coal)
        brush.line((at(0.26, 0.0), at(0.26, 0.15)), 0.016, ink.coal)
    brush.ellipse(0.46, 0.37, 0.05, 0.05, ink.coal)
