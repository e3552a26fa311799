"""The judge: what of a caption a picture shows, by classical image analysis alone.

It reads style, time and land first, then finds objects, the sun and the moon, then the weather, and compares. It has
never seen a model's picture; all it knows is how the generator draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.training.postcards.captions import Named, NamedObject, NamedRelation
from engine.training.postcards.detection import Detection, find_all, read_picture
from engine.training.postcards.scenery_reading import Scenery, read_scenery, read_style, read_weather

__all__ = ["Check", "Reading", "Verdict", "compare", "judge", "read"]

_SIDE_TOLERANCE = 0.02
_LEFT_END, _RIGHT_START = 0.40, 0.60


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything the judge sees in a picture. `finds` holds objects, the sun and moons, from left to right."""

    style: str
    scenery: Scenery
    finds: tuple[Detection, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """One named attribute: what the caption claims, what the picture shows, and whether they agree.

    `attribute` is "object", "colour", "count", "size", "relation", "body", "body size", "time", "weather", "land" or
    "style"; `subject` is the place in `Named.objects` it is about, None for the picture as a whole.
    """

    attribute: str
    subject: int | None
    claimed: str
    shown: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """The checks of one caption against one picture."""

    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        """Whether the picture shows everything that the caption names."""
        return all(check.holds for check in self.checks)

    @property
    def score(self) -> float:
        """The share of named attributes that the picture shows, 0 … 1; 1 where nothing is named."""
        return sum(check.holds for check in self.checks) / len(self.checks) if self.checks else 1.0


def judge(picture: np.ndarray, named: Named) -> Verdict:
    """Whether a picture uint8 [h w 3], square, at least 128 px, shows what a caption names."""
    return compare(read(picture), named)


def read(picture: np.ndarray) -> Reading:
    """What a picture uint8 [h w 3] shows; one reading serves for any number of captions.

    Raises:
        ValueError: the picture is not uint8 [h w 3] or not square.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"The judge reads uint8 [h w 3]; this is {picture.dtype} {list(picture.shape)}.")
    if picture.shape[0] != picture.shape[1]:
        raise ValueError(f"The judge reads square pictures; this one is {picture.shape[1]} by {picture.shape[0]} px.")
    style = read_style(picture)
    scenery = read_scenery(picture, style)
    finds = find_all(read_picture(picture, style), scenery, style)
    weather = read_weather(picture, scenery, style, [find.box for find in finds])
    return Reading(style, replace(scenery, weather=weather), finds)


def compare(reading: Reading, named: Named) -> Verdict:
    """Check a caption's claims against what was read."""
    checks: list[Check] = []
    for number, item in enumerate(named.objects):
        checks += _object_checks(reading.finds, number, item)
    if named.relation is not None:
        checks.append(_relation_check(reading.finds, named.objects, named.relation))
    if named.body is not None:
        bodies = [find for find in reading.finds if find.colour is None]
        best = max(bodies, key=lambda find: find.score, default=None)
        shown = best.kind if best is not None else "none"
        checks.append(Check("body", None, named.body.body, shown, shown == named.body.body))
        if named.body.size is not None:
            size = best.size if best is not None else "none"
            checks.append(Check("body size", None, named.body.size, size, size == named.body.size))
    for attribute, claimed, shown in (
        ("time", named.time, reading.scenery.time),
        ("weather", named.weather, reading.scenery.weather),
        ("land", named.land, reading.scenery.land),
        ("style", named.style, reading.style),
    ):
        if claimed is not None:
            checks.append(Check(attribute, None, claimed, shown, claimed == shown))
    return Verdict(tuple(checks))


def _object_checks(finds: Sequence[Detection], number: int, item: NamedObject) -> list[Check]:
    alike = [find for find in finds if find.kind == item.kind]
    meant = _meant(finds, item)
    others = sorted({find.kind for find in finds if find.colour is not None})
    checks = [Check("object", number, item.kind, item.kind if alike else " ".join(others) or "none", bool(alike))]
    if item.colour is not None:
        colours = sorted({find.colour for find in alike if find.colour is not None})
        shown = " ".join(colours) or "none"
        checks.append(Check("colour", number, item.colour, shown, item.colour in colours))
    checks.append(Check("count", number, str(item.count), str(len(meant)), len(meant) == item.count))
    if item.size is not None:
        sizes = [find.size for find in meant]
        shown = max(set(sizes), key=sizes.count) if sizes else "none"
        checks.append(Check("size", number, item.size, shown, shown == item.size))
    return checks


def _meant(finds: Sequence[Detection], item: NamedObject) -> list[Detection]:
    """The finds a phrase speaks of: of its kind and colour; of its kind, where the colour is not there."""
    alike = [find for find in finds if find.kind == item.kind]
    in_colour = [find for find in alike if item.colour is None or find.colour == item.colour]
    return in_colour or alike


def _relation_check(finds: Sequence[Detection], objects: Sequence[NamedObject], relation: NamedRelation) -> Check:
    subjects = _meant(finds, objects[relation.subject])
    if relation.target is None:
        shown = _side(subjects) if subjects else "none"
    else:
        targets = _meant(finds, objects[relation.target])
        shown = _lie(subjects, targets, relation.word) if subjects and targets else "none"
    return Check("relation", relation.subject, relation.word, shown, shown == relation.word)


def _side(finds: Sequence[Detection]) -> str:
    middle = (min(find.box.left for find in finds) + max(find.box.right for find in finds)) / 2
    if middle < _LEFT_END:
        return "on the left"
    return "on the right" if middle > _RIGHT_START else "in the middle"


def _lie(subjects: Sequence[Detection], targets: Sequence[Detection], claimed: str) -> str:
    """How the subjects lie to the targets: the claimed word where it is true, else another that is."""
    left, right = _reach(subjects), _reach(targets)
    is_true = {
        "left of": left[1] <= right[0] + _SIDE_TOLERANCE,
        "right of": left[0] >= right[1] - _SIDE_TOLERANCE,
        "above": max(find.box.bottom for find in subjects)
        <= min(find.box.top for find in targets) + 2 * _SIDE_TOLERANCE,
    }
    if is_true[claimed]:
        return claimed
    return next((word for word, holds in is_true.items() if holds), "among")


def _reach(finds: Sequence[Detection]) -> tuple[float, float]:
    return min(find.box.left for find in finds), max(find.box.right for find in finds)
