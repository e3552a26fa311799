"""Finding objects: silhouettes of every kind are correlated with the colour maps at several scales.

Every place where the area in an object's own colour correlates with its silhouette is a candidate; `evidence` weighs
them. Of overlapping finds the surest stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from math import exp

import numpy as np
from PIL import Image, ImageDraw

from engine.training.postcards.colour_reading import body_map, colour_maps, in_style, lab
from engine.training.postcards.correlation import SIDE_PX, Silhouette, SoftMap, silhouette_of
from engine.training.postcards.evidence import (
    ROW_FLOOR,
    TRUST_FLOOR,
    Appearance,
    Candidate,
    Surroundings,
    in_company,
    in_one_row,
    overlap,
    weighted,
)
from engine.training.postcards.morphology import closed
from engine.training.postcards.palette import light_of
from engine.training.postcards.scene import Box, Place
from engine.training.postcards.scenery_reading import Scenery, background_rows
from engine.training.postcards.sky import crescent
from engine.training.postcards.sprites import Sprite, paint_object
from engine.training.postcards.vocabulary import BODY_RADII, COLOURS, KINDS, SIZES

__all__ = ["Detection", "candidates_in", "find_all", "read_picture"]

_MARGIN_PX = 2
_SCALE_STEP = 1.115
_BODY_FLOOR = 0.62
_BODY_ENCLOSURE = 0.65
_BODY_LOWEST = 0.62
"""The sun and the moon are in the sky."""
_BODY_ODDS, _BODY_MIDDLE = 15.0, 0.66
"""A disc is a plain shape: an object that explains it as well is preferred."""
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
    objects = in_company(list(candidates_in(picture_lab, background, scenery.time, style)), scenery.land)
    bodies = _bodies(body_map(picture_lab, background, scenery.time, style), scenery.time)
    sure = _best_apart([*bodies, *(_found(item) for item in objects if item.odds >= TRUST_FLOOR)])
    return tuple(sorted(_with_neighbours(sure, objects), key=lambda find: find.box.left))


def candidates_in(picture_lab: np.ndarray, background: np.ndarray, time: str, style: str) -> Iterator[Candidate]:
    """Everything that may be an object, not yet weighed; `background` as for `colour_maps`."""
    maps = colour_maps(picture_lab, background, time, style)
    around = Surroundings(picture_lab)
    for number, colour in enumerate(COLOURS):
        if float(maps[number].sum()) >= _MIN_MASS_PX:
            yield from _of_colour(SoftMap(maps[number]), colour, around, time, style)


def _found(item: Candidate) -> Detection:
    return Detection(item.kind, item.colour, item.box, _sureness(item.odds))


def _of_colour(colour_map: SoftMap, colour: str, around: Surroundings, time: str, style: str) -> Iterator[Candidate]:
    for template in _templates():
        look = None
        for row, column, likeness, enclosure in colour_map.matches(template.silhouette):
            look = look or _appearance(template.kind, colour, template.height, template.is_mirrored, time, style)
            evidence = around.evidence(look, row, column, likeness, enclosure)
            if evidence is not None:
                width = template.height * KINDS[template.kind].aspect
                top, left = ((row + template.inset[0]) / SIDE_PX, (column + template.inset[1]) / SIDE_PX)
                box = Box(left, top, left + width, top + template.height)
                yield Candidate(template.kind, colour, box, evidence)


def _sureness(odds: float) -> float:
    return 1 / (1 + exp(-odds))


def _bodies(values: np.ndarray, time: str) -> Iterator[Detection]:
    """The sun by day, the moon at night."""
    if float(values.sum()) < _MIN_MASS_PX:
        return
    soft_map = SoftMap(values)
    for body, radius, silhouette in _body_templates():
        for row, column, likeness, enclosure in soft_map.matches(silhouette):
            if likeness >= _BODY_FLOOR and enclosure >= _BODY_ENCLOSURE:
                height, width = silhouette.area.shape
                x, y = (column + width / 2) / SIDE_PX, (row + height / 2) / SIDE_PX
                if y + radius > _BODY_LOWEST:
                    continue
                name = body if body != "disc" else "full moon" if time == "night" else "sun"
                yield Detection(
                    name,
                    None,
                    Box(x - radius, y - radius, x + radius, y + radius),
                    _sureness(_BODY_ODDS * (likeness - _BODY_MIDDLE)),
                )


def _best_apart(candidates: Iterable[Detection]) -> list[Detection]:
    """The surest of every heap of overlapping finds; only one shines."""
    kept: list[Detection] = []
    for candidate in sorted(candidates, key=lambda find: -find.score):
        if candidate.colour is None and any(other.colour is None for other in kept):
            continue
        if all(overlap(candidate.box, other.box) < 0.25 for other in kept):
            kept.append(candidate)
    return kept


def _with_neighbours(sure: Sequence[Detection], candidates: Iterable[Candidate]) -> list[Detection]:
    """The sure finds, and less sure ones that stand free in a row with one of the same kind, colour and height."""
    finds = list(sure)
    for item in sorted(candidates, key=lambda item: -item.odds):
        if item.odds >= ROW_FLOOR and all(overlap(item.box, other.box) < 0.10 for other in finds):
            alike = [other for other in sure if (other.kind, other.colour) == (item.kind, item.colour)]
            if any(in_one_row(item.kind, item.box, other.box) for other in alike):
                finds.append(_found(item))
    return finds


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
def _appearance(kind: str, colour: str, height: float, is_mirrored: bool, time: str, style: str) -> Appearance:
    """What an object of the template looks like in its window."""
    _, sprite = _sample(kind, colour, height, is_mirrored, time)
    rows, columns = _cut(sprite.paint[..., 3])
    sheet = sprite.paint[rows, columns].astype(np.float32)
    coverage = sheet[..., 3] / 255
    straight = sheet[..., :3] / np.maximum(coverage, 1 / 255)[..., None]
    return Appearance(weighted(lab(in_style(straight, style))), coverage)


@cache
def _body_templates() -> tuple[tuple[str, float, Silhouette], ...]:
    """(Body, radius, silhouette) at all scales."""
    templates = []
    for body in _BODIES:
        radius = BODY_RADII["small"] * 0.94
        while radius < BODY_RADII["large"] * 1.10:
            reach, side = (radius * SIDE_PX * 4, 2 * (round(radius * SIDE_PX) + _MARGIN_PX + 1))
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
    rows, columns = (np.flatnonzero(coverage.max(axis=1) > 100), np.flatnonzero(coverage.max(axis=0) > 100))
    return (
        slice(max(0, int(rows[0]) - _MARGIN_PX), int(rows[-1]) + 1 + _MARGIN_PX),
        slice(max(0, int(columns[0]) - _MARGIN_PX), int(columns[-1]) + 1 + _MARGIN_PX),
    )
