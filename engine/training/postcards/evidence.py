"""How surely an object is where its silhouette was found: what lies there, against what lies beside it.

A candidate's appearance is laid over its local background, and the difference this would make is compared with the
difference that the picture shows, coarsely, so that lost detail and soft edges do little harm. Weights were fitted by
logistic regression to candidates in training scenes: clean, worn, bent, and decoded from an autoencoder's latents.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import exp
from pathlib import Path

import numpy as np

from engine.training.postcards.scene import Box
from engine.training.postcards.vocabulary import KINDS

__all__ = [
    "ROW_FLOOR",
    "TRUST_FLOOR",
    "Appearance",
    "Candidate",
    "Evidence",
    "Surroundings",
    "features",
    "in_company",
    "in_one_row",
    "overlap",
    "weighted",
]

TRUST_FLOOR = -0.3
"""Log-odds from which a candidate is believed."""
ROW_FLOOR = -4.0
"""Log-odds from which a candidate is believed beside a believed one of its kind, colour and size."""
_LIGHTNESS = 0.7
_REACH_PX = 3
_FAR = 60.0
_LEAST_STRENGTH = 0.42
"""An object as pale as this share of its paint has dissolved in its background."""
_COMPANY = 1.37
_WORTH_A_LOOK = -6.0
_MOST_COMPANY = 3
_MEASURES = ("likeness", "alike", "enclosure", "inner", "agreement", "shift", "contrast")
_WEIGHTS_FILE = Path(__file__).with_name("evidence_weights.json")


@dataclass(frozen=True, slots=True)
class Appearance:
    """How an object would look in a template's window: paint in weighted CIELAB [h w 3] and coverage [h w]."""

    paint: np.ndarray
    coverage: np.ndarray


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for an object in a window, by itself.

    likeness: correlation of its silhouette with the map of its colour. alike: correlation of the difference it would
    make with the difference that is shown. enclosure: share of directions in which its colour ends at the outline.
    inner: correlation of what varies within its outline (windows, stripes, wheels) with what varies there; a blob has
    nothing of it. agreement: 1 where every pixel has its paint. shift: how far the mean colour is off, contrast: how
    much it differs from what is beside it; both 0 … 1.
    """

    likeness: float
    alike: float
    enclosure: float
    inner: float
    agreement: float
    shift: float
    contrast: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """What may be an object, what speaks for it, and the log-odds that it is one, once it has been weighed."""

    kind: str
    colour: str
    box: Box
    evidence: Evidence
    odds: float = 0.0


class Surroundings:
    """A picture, CIELAB float32 [128 128 3], in which candidates are compared with what is beside them."""

    __slots__ = ("_picture",)

    def __init__(self, picture_lab: np.ndarray) -> None:
        self._picture = np.pad(weighted(picture_lab), ((0, 0), (_REACH_PX, _REACH_PX), (0, 0)), mode="edge")

    def evidence(self, look: Appearance, row: int, column: int, likeness: float, enclosure: float) -> Evidence | None:
        """What speaks for this object in the window whose corner is here; None if it is too faint.

        Args:
            look: the object's appearance.
            row: the window's upper edge.
            column: the window's left edge.
            likeness: correlation of the object's silhouette with the map of its colour.
            enclosure: the share of directions in which its colour ends at the outline.
        """
        height, width = look.coverage.shape
        wide = self._picture[row : row + height, column : column + width + 2 * _REACH_PX]
        behind = _beside(wide, look.coverage)
        patch = wide[:, _REACH_PX:-_REACH_PX]
        cover = look.coverage[..., None]
        expected = (look.paint - behind) * cover
        alike, strength = _compare(_pooled(patch - behind), _pooled(expected))
        if strength < _LEAST_STRENGTH:
            return None
        mass = float(look.coverage.sum())
        offset = patch - look.paint
        distance = np.minimum(np.sqrt(np.einsum("...c,...c->...", offset, offset)), _FAR)
        agreement = 1 - float((distance * look.coverage).sum()) / (_FAR * mass)
        shift = float(np.linalg.norm((offset * cover).sum(axis=(0, 1)))) / mass
        contrast = float(np.sqrt((expected**2).sum() / mass))
        inner, _ = _compare(_pooled(_varied(patch, cover)), _pooled(_varied(look.paint, cover)))
        return Evidence(likeness, alike, enclosure, inner, agreement, min(shift / _FAR, 1.0), min(contrast / _FAR, 1.0))


def weighted(colours: np.ndarray) -> np.ndarray:
    """CIELAB float32 [… 3] with lightness counting less: light and shade change it."""
    return colours * np.array((_LIGHTNESS, 1, 1), dtype=np.float32)


def in_company(candidates: Sequence[Candidate], land: str) -> list[Candidate]:
    """Candidates with the log-odds they have where they are and among others of their kind, colour and size."""
    weighed = (replace(item, odds=_odds(item, land)) for item in candidates)
    placed = [item for item in weighed if item.odds > _WORTH_A_LOOK]
    rows: dict[tuple[str, str], list[Candidate]] = {}
    for item in sorted(placed, key=lambda item: -item.odds):
        rows.setdefault((item.kind, item.colour), []).append(item)
    return [
        replace(item, odds=item.odds + _COMPANY * min(2.0, _company(item, row)))
        for row in rows.values()
        for item in row
    ]


def overlap(first: Box, second: Box) -> float:
    """Common area as a share of the smaller box."""
    width = min(first.right, second.right) - max(first.left, second.left)
    height = min(first.bottom, second.bottom) - max(first.top, second.top)
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box.right - box.left) * (box.bottom - box.top) for box in (first, second)]
    return width * height / min(areas)


def features(item: Candidate, land: str) -> dict[str, float]:
    """What speaks for a candidate where it is: all that is weighed but its company.

    Every measure of `Evidence`, for its kind alone too, and every product of two; how far it is from where its kind
    belongs, and whether its kind never has its colour. The kind's own name stands for 1: plain round kinds are met by
    chance more often than others.
    """
    measures = [(name, getattr(item.evidence, name)) for name in _MEASURES]
    values = {
        item.kind: 1.0,
        "unusual": float(item.colour not in KINDS[item.kind].colours),
        "misplaced": _misplaced(item, land),
    }
    for number, (name, value) in enumerate(measures):
        values[name] = values[f"{item.kind} {name}"] = value
        values |= {f"{name} {other}": value * factor for other, factor in measures[number:]}
    return values


def _odds(item: Candidate, land: str) -> float:
    weights = _weights()
    return sum(weights[name] * value for name, value in features(item, land).items())


@cache
def _weights() -> Mapping[str, float]:
    """What each of `features` says, in log-odds, as `tools/fit_judge.py` fits it."""
    return json.loads(_WEIGHTS_FILE.read_text())


def _misplaced(item: Candidate, land: str) -> float:
    """How far an object is from where its kind belongs, in units of a fifth of the picture."""
    foot, realm = item.box.bottom, KINDS[item.kind].realm
    if realm == "sky":
        return 5 * max(0.0, foot - 0.60)
    if realm == "water":
        return (land != "sea") + 5 * (max(0.0, foot - 0.86) + max(0.0, 0.66 - foot))
    return 5 * (max(0.0, 0.80 - foot) + max(0.0, foot - 0.97))


def in_one_row(kind: str, first: Box, second: Box) -> bool:
    """Whether two objects of a kind are of one height and stand on one line, or fly near one."""
    height = first.bottom - first.top
    step = 0.25 if KINDS[kind].realm == "sky" else 0.045
    return 0.89 < (second.bottom - second.top) / height < 1.125 and abs(second.bottom - first.bottom) < step


def _company(item: Candidate, row: Sequence[Candidate]) -> float:
    """How many others stand in one row with an object, by what is sure of each; `row` begins with the surest."""
    others: list[Candidate] = []
    for other in row:
        if in_one_row(item.kind, item.box, other.box) and all(
            overlap(other.box, known.box) < 0.15 for known in (item, *others)
        ):
            others.append(other)
            if len(others) == _MOST_COMPANY:
                break
    return sum(1 / (1 + exp(-other.odds)) for other in others)


def _varied(paint: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """What differs from the mean colour of the covered part [h w 3]; `cover` is [h w 1]."""
    return (paint - (paint * cover).sum(axis=(0, 1)) / cover.sum()) * cover


def _beside(wide: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """The middle colour of each row left and right of the object, [h 1 3]."""
    is_beside = np.ones(wide.shape[:2], dtype=bool)
    is_beside[:, _REACH_PX:-_REACH_PX] = coverage < 0.02
    values = np.where(is_beside[..., None], wide, np.float32(np.inf))
    values.sort(axis=1)
    middle = (is_beside.sum(axis=1) - 1) // 2
    return values[np.arange(len(middle)), middle][:, None]


def _pooled(values: np.ndarray) -> np.ndarray:
    """Sums of two by two pixels, [h/2 w/2 3]."""
    even = values[: values.shape[0] // 2 * 2, : values.shape[1] // 2 * 2]
    return even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]


def _compare(shown: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """How alike two differences are, -1 … 1, and how strong the shown one is against the expected."""
    product = float((shown * expected).sum())
    power = float((expected**2).sum()) + 1e-6
    return product / float(np.sqrt(power * (float((shown**2).sum()) + 1e-6))), product / power
