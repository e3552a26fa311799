"""The sky: its gradient, stars, sun and moon, clouds, rain and snow."""

from __future__ import annotations

from collections.abc import Mapping
from math import atan2, cos, pi, sin
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageDraw

from engine.training.postcards.chance import Chance
from engine.training.postcards.drawing import OVERSAMPLING, Canvas
from engine.training.postcards.palette import RGB, Light, mixed
from engine.training.postcards.scene import Celestial, Sky

__all__ = ["body_tones", "crescent", "fall", "paint_sky"]

_GREYING: Mapping[str, float] = MappingProxyType({"clear": 0.0, "cloudy": 0.30, "rain": 0.48, "snow": 0.30})
_SUNS: Mapping[str, RGB] = MappingProxyType({"day": (255, 216, 84), "sunset": (255, 200, 96), "dawn": (255, 226, 150)})
_RAIN_GREY: RGB = (84, 92, 122)
_MOON: RGB = (252, 246, 222)
_CRATER: RGB = (222, 214, 196)


def paint_sky(canvas: Canvas, sky: Sky, light: Light, chance: Chance) -> None:
    """Everything above the land, except what falls."""
    greying = _GREYING[sky.weather]
    grey = mixed(light.cloud_shade, light.sky[0], 0.25)
    if sky.weather == "rain":
        grey = mixed(grey, _RAIN_GREY, 0.40)
    top, middle, low = (mixed(colour, grey, greying) for colour in light.sky)
    canvas.gradient([(0.0, top), (0.32, middle), (0.60, low)])
    if sky.time == "night":
        _stars(canvas, chance.stream("stars"), 34 if sky.weather == "clear" else 8)
    if sky.celestial is not None:
        _body(canvas, sky.celestial, sky.time, light, middle)
    if sky.weather != "clear":
        _clouds(canvas, sky, light, chance.stream("clouds"))


def body_tones(time: str) -> tuple[RGB, RGB]:
    """The colours of what shines at this time: the sun's rim and middle, at night the moon and its craters."""
    if time == "night":
        return _MOON, _CRATER
    return _SUNS[time], mixed(_SUNS[time], (255, 250, 226), 0.35)


def _stars(canvas: Canvas, chance: Chance, count: int) -> None:
    pen = canvas.pen()
    for _ in range(count):
        radius = chance.pick((0.0035, 0.0045, 0.007))
        x, y, reach = canvas.px(chance.unit(), chance.unit() * 0.5, radius)
        pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=(255, 250, 226, 235))


def _body(canvas: Canvas, body: Celestial, time: str, light: Light, behind: RGB) -> None:
    canvas.glow(body.x, body.y, body.radius * 2.6, light.glow, 0.62)
    pen = canvas.pen()
    x, y, radius = canvas.px(body.x, body.y, body.radius)
    disc = (x - radius, y - radius, x + radius, y + radius)
    if body.body == "sun":
        rim, middle = body_tones(time)
        pen.ellipse(disc, fill=rim)
        inner = radius * 0.80
        pen.ellipse((x - inner, y - inner, x + inner, y + inner), fill=middle)
    elif body.body == "full moon":
        pen.ellipse(disc, fill=_MOON)
        for across, down, share in ((-0.30, -0.30, 0.24), (0.34, 0.10, 0.30), (-0.22, 0.42, 0.18), (0.20, -0.50, 0.13)):
            cx, cy, reach = x + radius * across, y + radius * down, radius * share
            pen.ellipse((cx - reach, cy - reach, cx + reach, cy + reach), fill=_CRATER)
    else:
        pen.polygon(crescent(x, y, radius), fill=_MOON)


def crescent(x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """The outline of a crescent around (x, y) that opens to the upper right."""
    tilt, steps, reach = -0.6, 40, 1.05
    outer = [pi * 0.5 + (pi + reach) * (step / steps) - reach / 2 for step in range(steps + 1)]
    points = [(cos(angle), sin(angle)) for angle in outer]
    middle = 0.52
    first = (points[-1][0] - middle, points[-1][1])
    inner_radius = (first[0] ** 2 + first[1] ** 2) ** 0.5
    from_angle, to_angle = _angle(points[-1], middle), _angle(points[0], middle)
    for step in range(steps + 1):
        angle = from_angle + (to_angle - from_angle) * step / steps
        points.append((middle + inner_radius * cos(angle), inner_radius * sin(angle)))
    turn, lift = cos(tilt), sin(tilt)
    return [(x + radius * (a * turn - b * lift), y + radius * (a * lift + b * turn)) for a, b in points]


def _angle(point: tuple[float, float], middle: float) -> float:
    """Angle in (0, 2π) of a point seen from (middle, 0)."""
    return atan2(point[1], point[0] - middle) % (2 * pi)


def _clouds(canvas: Canvas, sky: Sky, light: Light, chance: Chance) -> None:
    """Heaps of discs with flat feet; they keep beside the sun and the moon."""
    count = {"cloudy": 4, "rain": 5, "snow": 3}[sky.weather]
    darkening = 0.55 if sky.weather == "rain" else 0.0
    body = mixed(light.cloud, light.cloud_shade, darkening)
    foot = mixed(light.cloud_shade, light.sky[0], darkening * 0.5)
    offset = chance.unit()
    for number in range(count):
        x = ((number + chance.between(0.2, 0.8)) / count + offset) % 1.0
        y = chance.between(0.07, 0.20) + 0.15 * (number % 2)
        width = chance.between(0.22, 0.34)
        x = _beside(sky.celestial, x, y, width)
        _cloud(canvas, x, y, width, body, foot, chance)


def _beside(body: Celestial | None, x: float, y: float, width: float) -> float:
    """Where a cloud of this width at (x, y) goes so that it hides neither the sun nor the moon."""
    if body is None or abs(body.y - y) > body.radius + 0.09:
        return x
    reach = width / 2 + body.radius + 0.01
    if abs(body.x - x) >= reach:
        return x
    return body.x + reach if body.x < 0.5 else body.x - reach


def _cloud(canvas: Canvas, x: float, y: float, width: float, body: RGB, foot: RGB, chance: Chance) -> None:
    pen = canvas.pen()
    humps = [(-0.34, 0.0, 0.17), (-0.12, -0.10, 0.24), (0.14, -0.06, 0.21), (0.35, 0.01, 0.15)]
    if chance.happens(0.5):
        humps = [(-across, down, radius) for across, down, radius in humps]
    for colour, drop in ((foot, 0.035), (body, 0.0)):
        for across, down, share in humps:
            cx, cy, reach = canvas.px(x + width * across, y + width * (down + drop), width * share)
            pen.ellipse((cx - reach, cy - reach * 0.9, cx + reach, cy + reach * 0.9), fill=colour)
        left, top, right, bottom = canvas.px(
            x - width * 0.46, y - width * 0.02, x + width * 0.46, y + width * (0.14 + drop)
        )
        pen.rounded_rectangle((left, top, right, bottom), radius=(bottom - top) / 2, fill=colour)


def fall(sky: Sky, chance: Chance, size_px: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Rain or snow: its colour float32 [3] and opacity float32 [h w 1]; None where nothing falls."""
    if sky.weather not in ("rain", "snow"):
        return None
    side = size_px * OVERSAMPLING
    mask = Image.new("L", (side, side))
    pen = ImageDraw.Draw(mask)
    cell = side / 8
    for number in range(64):
        x, y = (number % 8 + chance.unit()) * cell, (number // 8 + chance.unit()) * cell
        if sky.weather == "rain":
            pen.line((x, y, x - 0.018 * side, y + 0.066 * side), fill=180, width=max(1, round(0.0085 * side)))
        else:
            reach = chance.pick((0.009, 0.0115, 0.0145)) * side
            pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=235)
    tone = (226, 236, 250) if sky.time == "night" else (250, 252, 255)
    opacity = np.asarray(mask.reduce(OVERSAMPLING), dtype=np.float32)[..., None] / 255
    return np.array(tone, dtype=np.float32), opacity
