"""The six lands, each painted in layers from the far to the near."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import pi, sin
from types import MappingProxyType

from engine.training.postcards.chance import Chance
from engine.training.postcards.drawing import Canvas, Point
from engine.training.postcards.palette import RGB, Light, mixed
from engine.training.postcards.scene import Sky

__all__ = ["paint_land"]

_Tone = Callable[[RGB], RGB]
_SNOW: RGB = (242, 246, 250)


@dataclass(frozen=True, slots=True)
class _Scenery:
    """What the land is painted under: `tone` colours what is far or bare, `ground` what snow lies on."""

    sky: Sky
    light: Light
    tone: _Tone
    ground: _Tone


def paint_land(canvas: Canvas, land: str, sky: Sky, light: Light, chance: Chance) -> None:
    """Paint the land of this name below the sky."""
    covered = 0.38 if sky.weather == "snow" and land not in ("sea", "desert") else 0.0

    def ground(colour: RGB) -> RGB:
        return light.on_land(mixed(colour, _SNOW, covered))

    _LANDS[land](canvas, _Scenery(sky, light, light.on_land, ground), chance)


def _waves(chance: Chance, level: float, swell: float, periods: float = 1.0) -> list[Point]:
    """A rolling line from the left edge to the right."""
    phases = [chance.between(0, 2 * pi) for _ in range(3)]
    rates = [chance.between(0.7, 1.1) * periods, chance.between(1.4, 2.0) * periods, chance.between(2.6, 3.4) * periods]
    line = []
    for step in range(41):
        x = step / 40
        height = sum(
            sin(2 * pi * rate * x + phase) * weight for rate, phase, weight in zip(rates, phases, (0.6, 0.28, 0.12))
        )
        line.append((x * 1.1 - 0.05, level - swell * height))
    return line


def _filled(canvas: Canvas, line: Sequence[Point], top: RGB, bottom: RGB, depth: float = 0.25) -> None:
    """Fill everything below the line, from the top colour at its crest to the bottom colour."""
    crest = min(y for _, y in line)
    outline = [*line, (1.05, 1.02), (-0.05, 1.02)]
    canvas.gradient([(crest, top), (crest + depth, bottom)], outline)


def _peaks(chance: Chance, count: int, low: float, high: float) -> list[Point]:
    """Summits from left to right, (x, y)."""
    offset = chance.between(-0.5, 0.0)
    return [
        ((number + offset + chance.between(0.3, 0.7)) / (count - 0.6), chance.between(high, low))
        for number in range(count)
    ]


def _mountains(canvas: Canvas, scenery: _Scenery, chance: Chance) -> None:
    light, tone, ground = scenery.light, scenery.tone, scenery.ground
    ranges = (
        (_peaks(chance, 5, 0.50, 0.42), (186, 196, 218), 0.62, 1.05),
        (_peaks(chance, 4, 0.46, 0.355), (136, 152, 188), 0.70, 0.92),
    )
    for summits, colour, foot, slope in ranges:
        main, shade = tone(colour), tone(mixed(colour, (70, 84, 130), 0.34))
        haze = mixed(main, light.sky[2], 0.45)
        for x, y in sorted(summits, key=lambda summit: summit[1], reverse=True):
            reach = (foot - y) / slope
            canvas.gradient([(y, main), (foot, haze)], [(x, y), (x + reach, foot), (x - reach, foot)])
            canvas.gradient(
                [(y, shade), (foot, mixed(shade, haze, 0.6))],
                [
                    (x, y),
                    (x + reach, foot),
                    (x + reach * 0.30, foot),
                    (x + reach * 0.02, y + (foot - y) * 0.50),
                    (x + reach * 0.13, y + (foot - y) * 0.30),
                ],
            )
            _snow_cap(canvas, x, y, reach, foot, tone(_SNOW), chance)
    _filled(canvas, _waves(chance, 0.685, 0.016), ground((186, 204, 166)), ground((168, 190, 146)))
    _filled(canvas, _waves(chance, 0.80, 0.022), ground((170, 192, 146)), ground((148, 174, 124)))


def _snow_cap(canvas: Canvas, x: float, y: float, reach: float, foot: float, snow: RGB, chance: Chance) -> None:
    depth = chance.between(0.26, 0.34)
    rise = (foot - y) * depth
    half = reach * depth
    hem = [
        (x + half, y + rise),
        (x + half * 0.55, y + rise * 0.80),
        (x + half * 0.18, y + rise * 1.12),
        (x - half * 0.22, y + rise * 0.84),
        (x - half * 0.55, y + rise * 1.06),
        (x - half, y + rise),
    ]
    canvas.gradient([(y, snow), (y + rise, snow)], [(x, y), *hem])
    shadow = mixed(snow, (110, 124, 176), 0.30)
    canvas.gradient([(y, shadow), (y + rise, shadow)], [(x, y), *hem[:2], (x + half * 0.30, y + rise * 0.95)])


def _hills(canvas: Canvas, scenery: _Scenery, chance: Chance) -> None:
    tone = scenery.ground
    layers = (
        (0.55, 0.045, (204, 218, 190)),
        (0.615, 0.045, (184, 206, 160)),
        (0.69, 0.035, (164, 192, 134)),
        (0.80, 0.028, (148, 178, 116)),
    )
    for number, (level, swell, colour) in enumerate(layers):
        line = _waves(chance, level, swell, 1.0)
        _filled(canvas, line, tone(mixed(colour, (250, 250, 214), 0.20)), tone(mixed(colour, (90, 130, 84), 0.16)), 0.2)
        if number in (1, 2):
            _furrows(canvas, line, tone(mixed(colour, (96, 134, 84), 0.22)))
            _bushes(canvas, line, tone(mixed(colour, (70, 112, 84), 0.45)), chance)


def _furrows(canvas: Canvas, line: Sequence[Point], colour: RGB) -> None:
    pen = canvas.pen()
    for drop in (0.030, 0.062):
        path = [tuple(canvas.px(x, y + drop)) for x, y in line]
        pen.line(path, fill=(*colour, 150), width=max(1, round(canvas.px(0.008)[0])), joint="curve")


def _bushes(canvas: Canvas, line: Sequence[Point], colour: RGB, chance: Chance) -> None:
    pen = canvas.pen()
    for _ in range(5):
        x, y = line[2 + chance.below(37)]
        cx, cy, reach = canvas.px(x, y + 0.002, chance.between(0.010, 0.018))
        pen.ellipse((cx - reach, cy - reach * 1.15, cx + reach, cy + reach * 0.85), fill=colour)


def _sea(canvas: Canvas, scenery: _Scenery, chance: Chance) -> None:
    sky, light, tone = scenery.sky, scenery.light, scenery.tone
    horizon = 0.56
    _filled(canvas, [(-0.05, horizon), (1.05, horizon)], tone((164, 212, 220)), tone((92, 166, 194)), 0.26)
    island = chance.between(0.0, 1.0)
    outline = [
        (island - 0.16, horizon),
        (island - 0.07, horizon - 0.028),
        (island + 0.02, horizon - 0.016),
        (island + 0.08, horizon - 0.036),
        (island + 0.17, horizon),
    ]
    far = mixed(tone((150, 170, 190)), light.sky[2], 0.30)
    canvas.gradient([(horizon - 0.04, far), (horizon, far)], outline)
    pen = canvas.pen()
    foam = mixed(tone((206, 234, 236)), light.sky[2], 0.3)
    if sky.celestial is not None:
        for step in range(6):
            y = horizon + 0.018 + step * 0.040
            x, level, reach, thick = canvas.px(
                sky.celestial.x + chance.between(-0.012, 0.012), y, sky.celestial.radius * (0.5 + step * 0.10), 0.007
            )
            pen.rounded_rectangle((x - reach, level - thick, x + reach, level + thick), thick, (*light.glow, 170))
    for step in range(16):
        y = horizon + 0.02 + (step / 16) * 0.24
        x, level, reach, thick = canvas.px(chance.unit(), y, 0.02 + 0.035 * (step / 16), 0.004)
        pen.rounded_rectangle((x - reach, level - thick, x + reach, level + thick), thick, (*foam, 150))
    shore = _waves(chance, 0.835, 0.012)
    _filled(canvas, [(x, y - 0.018) for x, y in shore], foam, foam)
    _filled(canvas, shore, tone((232, 212, 174)), tone((244, 228, 194)), 0.12)


def _desert(canvas: Canvas, scenery: _Scenery, chance: Chance) -> None:
    light, tone = scenery.light, scenery.tone
    for _ in range(3):
        _mesa(canvas, tone((214, 160, 136)), tone((190, 134, 118)), light, chance)
    layers = ((0.60, 0.028, (246, 218, 176)), (0.68, 0.036, (240, 204, 156)), (0.80, 0.030, (234, 192, 142)))
    for level, swell, colour in layers:
        line = _waves(chance, level, swell, 0.9)
        _filled(canvas, line, tone(mixed(colour, (255, 244, 214), 0.4)), tone(mixed(colour, (196, 136, 96), 0.22)), 0.2)
        shade = tone(mixed(colour, (186, 124, 92), 0.32))
        peak = min(line[4:-4], key=lambda point: point[1])
        x, y = peak
        lee = [(x, y), (x + 0.10, y + 0.022), (x + 0.30, y + 0.11), (x + 0.10, y + 0.13), (x + 0.05, y + 0.06)]
        canvas.gradient([(y, shade), (y + 0.13, mixed(shade, tone(colour), 0.8))], lee)


def _mesa(canvas: Canvas, lit: RGB, shade: RGB, light: Light, chance: Chance) -> None:
    x, half, top = chance.unit(), chance.between(0.07, 0.14), chance.between(0.50, 0.55)
    lit, shade = mixed(lit, light.sky[2], 0.25), mixed(shade, light.sky[2], 0.25)
    canvas.gradient(
        [(top, lit), (0.64, lit)], [(x - half, top), (x + half, top), (x + half * 1.35, 0.64), (x - half * 1.35, 0.64)]
    )
    canvas.gradient(
        [(top, shade), (0.64, shade)],
        [(x + half * 0.35, top), (x + half, top), (x + half * 1.35, 0.64), (x + half * 0.5, 0.64)],
    )


def _city(canvas: Canvas, scenery: _Scenery, chance: Chance) -> None:
    sky, light, tone, ground = scenery.sky, scenery.light, scenery.tone, scenery.ground
    windows = (255, 222, 130) if sky.time in ("night", "sunset") else light.on_land((222, 228, 238))
    for colour, low, high, widths, opacity in (
        ((186, 194, 216), 0.50, 0.36, (0.06, 0.10), 0),
        ((148, 158, 188), 0.60, 0.44, (0.08, 0.13), 210),
    ):
        wall = tone(colour)
        haze = mixed(wall, light.sky[2], 0.30)
        x = -0.04
        while x < 1.0:
            width, top = chance.between(*widths), chance.between(high, low)
            _tower(canvas, (x, top, x + width, 0.76), wall, haze, chance)
            if opacity:
                _windows(canvas, (x, top, x + width), (*windows, opacity), chance)
            x += width + chance.between(-0.005, 0.012)
    pavement = ground((206, 202, 204))
    canvas.gradient(
        [(0.735, ground((176, 190, 170))), (0.76, ground((160, 178, 154)))],
        [(-0.05, 0.735), (1.05, 0.735), (1.05, 0.80), (-0.05, 0.80)],
    )
    canvas.gradient(
        [(0.765, pavement), (1.0, ground((182, 178, 186)))],
        [(-0.05, 0.765), (1.05, 0.765), (1.05, 1.02), (-0.05, 1.02)],
    )
    stripe = ground((236, 234, 232))
    canvas.gradient([(0.765, stripe), (0.78, stripe)], [(-0.05, 0.765), (1.05, 0.765), (1.05, 0.777), (-0.05, 0.777)])


def _tower(canvas: Canvas, box: tuple[float, float, float, float], wall: RGB, haze: RGB, chance: Chance) -> None:
    left, top, right, bottom = box
    roof = chance.below(4)
    outline = [(left, top), (right, top), (right, bottom), (left, bottom)]
    if roof == 1:
        outline = [(left, top), ((left + right) / 2, top - 0.03), *outline[1:]]
    elif roof == 2:
        step = (right - left) * 0.28
        outline = [
            (left, top),
            (left + step, top),
            (left + step, top - 0.022),
            (right - step, top - 0.022),
            (right - step, top),
            *outline[1:],
        ]
    canvas.gradient([(top - 0.03, wall), (0.74, haze)], outline)
    right_part = left + (right - left) * 0.72
    shade = mixed(wall, (60, 64, 100), 0.16)
    canvas.gradient(
        [(top, shade), (0.74, mixed(shade, haze, 0.7))],
        [(right_part, top), (right, top), (right, bottom), (right_part, bottom)],
    )


def _windows(canvas: Canvas, span: tuple[float, float, float], fill: tuple[int, ...], chance: Chance) -> None:
    left, top, right = span
    pen = canvas.pen()
    columns = max(2, round((right - left) / 0.036))
    pitch = (right - left) / columns
    for row in range(int((0.70 - top) / 0.042)):
        for column in range(columns):
            if chance.happens(0.62):
                x, y = left + (column + 0.28) * pitch, top + 0.025 + row * 0.042
                pen.rectangle(canvas.px(x, y, x + pitch * 0.44, y + 0.020), fill=fill)


def _forest(canvas: Canvas, scenery: _Scenery, chance: Chance) -> None:
    light, tone, ground = scenery.light, scenery.tone, scenery.ground
    layers = (
        (0.42, 0.60, 0.085, (152, 190, 170)),
        (0.47, 0.68, 0.10, (106, 156, 132)),
        (0.53, 0.75, 0.12, (72, 126, 100)),
    )
    for top, foot, pitch, colour in layers:
        main = tone(colour)
        haze = mixed(main, light.sky[2], 0.34)
        canvas.gradient(
            [(foot - 0.12, main), (foot + 0.02, haze)],
            [(-0.05, foot - 0.07), (1.05, foot - 0.07), (1.05, foot + 0.03), (-0.05, foot + 0.03)],
        )
        pines, x = [], -0.04
        while x < 1.04:
            pines.append(_pine(x, top + chance.between(0.0, 0.09), foot, pitch * chance.between(0.62, 0.78)))
            x += pitch * chance.between(0.8, 1.1)
        canvas.gradient([(top, main), (foot, haze)], *pines)
    _filled(canvas, _waves(chance, 0.735, 0.012), ground((164, 182, 140)), ground((140, 160, 118)))


def _pine(x: float, top: float, foot: float, half: float) -> list[Point]:
    """The outline of a pine in three tiers."""
    height = foot - top
    right: list[Point] = []
    for tier, share in enumerate((0.40, 0.70, 1.0)):
        y = top + height * (0.34 + 0.31 * tier)
        right += [(x + half * share, y), (x + half * share * 0.52, y - height * 0.03)]
    return [(x, top), *right[:-1], *((2 * x - a, b) for a, b in reversed(right[:-1]))]


_LANDS: Mapping[str, Callable[[Canvas, _Scenery, Chance], None]] = MappingProxyType(
    {"mountains": _mountains, "hills": _hills, "sea": _sea, "desert": _desert, "city": _city, "forest": _forest}
)
