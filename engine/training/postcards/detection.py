"""Finding objects: silhouettes of every kind are correlated with the colour maps at several scales.

The score is the normalised cross-correlation of the area in the object's own colour, corrected by how well the trims
(roof, wheels, basket, stem …) agree. Of overlapping finds the best stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from PIL import Image, ImageDraw

from engine.training.postcards.colour_reading import body_map, colour_maps, in_style, lab
from engine.training.postcards.correlation import SIDE_PX, Silhouette, SoftMap, silhouette_of
from engine.training.postcards.morphology import closed
from engine.training.postcards.palette import light_of
from engine.training.postcards.scene import Box, Place
from engine.training.postcards.scenery_reading import Scenery, background_rows
from engine.training.postcards.sky import crescent
from engine.training.postcards.sprites import Sprite, paint_object
from engine.training.postcards.vocabulary import BODY_RADII, COLOURS, KINDS, SIZES

__all__ = ["Detection", "find_all", "read_picture"]

_MARGIN_PX = 2
_SCALE_STEP = 1.115
_SCORE_FLOOR = 0.66
_BODY_FLOOR = 0.62
_BODY_TRUST = 0.93
"""A disc is a plain shape: an object that explains it nearly as well is preferred."""
_MIN_MASS_PX = 40.0
_MIRRORED = frozenset(("car", "cat", "boat", "bird", "castle"))
_BODIES = ("disc", "crescent moon")


@dataclass(frozen=True, slots=True)
class Detection:
    """Something that was found: what, in which colour (none for the sun and the moon), where, how surely (0 … 1)."""

    kind: str
    colour: str | None
    box: Box
    score: float

    @property
    def size(self) -> str:
        """The size word whose height is nearest."""
        height = self.box.bottom - self.box.top
        if self.colour is None:
            return min(SIZES, key=lambda size: abs(np.log(height / 2 / BODY_RADII[size])))
        return min(SIZES, key=lambda size: abs(np.log(height / KINDS[self.kind].height(size))))


@dataclass(frozen=True, slots=True)
class _Template:
    """A kind's silhouette at one height, and where its object's box begins in the window (row, column)."""

    kind: str
    height: float
    is_mirrored: bool
    silhouette: Silhouette
    inset: tuple[float, float]


def read_picture(picture: np.ndarray, style: str) -> np.ndarray:
    """A picture uint8 [h w 3] as CIELAB [128 128 3]; a woodcut's dark lines are closed first."""
    image = Image.fromarray(picture)
    if image.size != (2 * SIDE_PX, 2 * SIDE_PX):
        image = image.resize((2 * SIDE_PX, 2 * SIDE_PX), Image.Resampling.BOX)
    if style == "woodcut":
        image = Image.fromarray(closed(np.asarray(image), 5))
    return lab(np.asarray(image.reduce(2)))


def find_all(picture_lab: np.ndarray, scenery: Scenery, style: str) -> tuple[Detection, ...]:
    """All objects, and the sun or the moon, in a picture CIELAB float32 [128 128 3] with this around them."""
    background = background_rows(scenery, style, SIDE_PX)
    maps = colour_maps(picture_lab, background, scenery.time, style)
    candidates = list(_bodies(body_map(picture_lab, background, scenery.time, style), scenery.time))
    for number, colour in enumerate(COLOURS):
        if float(maps[number].sum()) >= _MIN_MASS_PX:
            candidates += _of_colour(SoftMap(maps[number]), colour, picture_lab, scenery.time, style)
    return _best_apart(candidates)


def _of_colour(colour_map: SoftMap, colour: str, picture_lab: np.ndarray, time: str, style: str) -> Iterator[Detection]:
    for template in _templates():
        for row, column, likeness in colour_map.matches(template.silhouette):
            score = 0.55 * likeness + 0.45 * _agreement(picture_lab, template, colour, row, column, time, style)
            if score >= _SCORE_FLOOR:
                width = template.height * KINDS[template.kind].aspect
                top, left = (row + template.inset[0]) / SIDE_PX, (column + template.inset[1]) / SIDE_PX
                yield Detection(template.kind, colour, Box(left, top, left + width, top + template.height), score)


def _bodies(values: np.ndarray, time: str) -> Iterator[Detection]:
    """The sun by day, the moon at night."""
    if float(values.sum()) < _MIN_MASS_PX:
        return
    soft_map = SoftMap(values)
    for body, radius, silhouette in _body_templates():
        for row, column, likeness in soft_map.matches(silhouette):
            if likeness >= _BODY_FLOOR:
                height, width = silhouette.area.shape
                x, y = (column + width / 2) / SIDE_PX, (row + height / 2) / SIDE_PX
                name = body if body != "disc" else "full moon" if time == "night" else "sun"
                yield Detection(name, None, Box(x - radius, y - radius, x + radius, y + radius), _BODY_TRUST * likeness)


def _agreement(
    picture_lab: np.ndarray, template: _Template, colour: str, row: int, column: int, time: str, style: str
) -> float:
    """1 where the picture has the object's colours under its whole outline, 0 where they differ throughout."""
    paint, coverage = _appearance(template.kind, colour, template.height, template.is_mirrored, time, style)
    height, width = coverage.shape
    offset = picture_lab[row : row + height, column : column + width] - paint
    offset[..., 0] *= 0.7
    distance = np.minimum(np.sqrt(np.einsum("...c,...c->...", offset, offset)), 60)
    return float(1 - (distance * coverage).sum() / (60 * coverage.sum()))


def _best_apart(candidates: Iterable[Detection]) -> tuple[Detection, ...]:
    """The best of every heap of overlapping finds, from left to right."""
    kept: list[Detection] = []
    for candidate in sorted(candidates, key=lambda find: -find.score):
        if all(_overlap(candidate.box, other.box) < 0.25 for other in kept):
            kept.append(candidate)
    return tuple(sorted(kept, key=lambda find: find.box.left))


def _overlap(first: Box, second: Box) -> float:
    """Common area as a share of the smaller box."""
    width = min(first.right, second.right) - max(first.left, second.left)
    height = min(first.bottom, second.bottom) - max(first.top, second.top)
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box.right - box.left) * (box.bottom - box.top) for box in (first, second)]
    return width * height / min(areas)


@cache
def _templates() -> tuple[_Template, ...]:
    templates = []
    for kind in KINDS.values():
        height, limit = kind.heights[0] * 0.93, kind.heights[-1] * 1.10
        while height < limit:
            for is_mirrored in (False, True) if kind.name in _MIRRORED else (False,):
                templates.append(_template(kind.name, height, is_mirrored))
            height *= _SCALE_STEP
    return tuple(templates)


def _template(kind: str, height: float, is_mirrored: bool) -> _Template:
    place, sprite = _sample(kind, "red", height, is_mirrored, "day")
    rows, columns = _cut(sprite.paint[..., 3])
    area = sprite.own[rows, columns].astype(np.float32) / 255
    inset = (
        place.box.top * SIDE_PX - sprite.top_px - rows.start,
        place.box.left * SIDE_PX - sprite.left_px - columns.start,
    )
    return _Template(kind, height, is_mirrored, silhouette_of(area, sprite.paint[rows, columns, 3]), inset)


def _sample(kind: str, colour: str, height: float, is_mirrored: bool, time: str) -> tuple[Place, Sprite]:
    place = Place(0.5, 0.5, height * KINDS[kind].aspect, height, is_mirrored)
    return place, paint_object(kind, colour, place, light_of(time), SIDE_PX)


@lru_cache(maxsize=8192)
def _appearance(
    kind: str, colour: str, height: float, is_mirrored: bool, time: str, style: str
) -> tuple[np.ndarray, np.ndarray]:
    """Paint as CIELAB [h w 3] and coverage [h w] of the template's window."""
    _, sprite = _sample(kind, colour, height, is_mirrored, time)
    rows, columns = _cut(sprite.paint[..., 3])
    sheet = sprite.paint[rows, columns].astype(np.float32)
    coverage = sheet[..., 3] / 255
    straight = sheet[..., :3] / np.maximum(coverage, 1 / 255)[..., None]
    return lab(in_style(straight, style)), coverage


@cache
def _body_templates() -> tuple[tuple[str, float, Silhouette], ...]:
    """(Body, radius, silhouette) at all scales."""
    templates = []
    for body in _BODIES:
        radius = BODY_RADII["small"] * 0.94
        while radius < BODY_RADII["large"] * 1.10:
            reach, side = radius * SIDE_PX * 4, 2 * (round(radius * SIDE_PX) + _MARGIN_PX + 1)
            sheet = Image.new("L", (4 * side, 4 * side))
            middle = 2 * side
            if body == "disc":
                ImageDraw.Draw(sheet).ellipse((middle - reach, middle - reach, middle + reach, middle + reach), 255)
            else:
                ImageDraw.Draw(sheet).polygon(crescent(middle, middle, reach), 255)
            coverage = np.asarray(sheet.reduce(4))
            templates.append((body, radius, silhouette_of(coverage.astype(np.float32) / 255, coverage)))
            radius *= _SCALE_STEP
    return tuple(templates)


def _cut(coverage: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the painted part, with a margin."""
    rows, columns = np.flatnonzero(coverage.max(axis=1) > 100), np.flatnonzero(coverage.max(axis=0) > 100)
    return (
        slice(int(rows[0]) - _MARGIN_PX, int(rows[-1]) + 1 + _MARGIN_PX),
        slice(int(columns[0]) - _MARGIN_PX, int(columns[-1]) + 1 + _MARGIN_PX),
    )
