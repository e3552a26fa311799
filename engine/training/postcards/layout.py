"""Where things go: rows of objects that never touch, and a place in the free sky for the sun or the moon.

What no caption names is kept to few ways: every kind faces one way, rows in the sky begin low, and things stand around
the middle of the room they have. A model that is not told has to draw the mean of all ways before it can choose one;
with birds facing either way it drew birds with two heads or none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from engine.training.postcards.chance import Chance
from engine.training.postcards.scene import Box, Celestial, Group, Place
from engine.training.postcards.vocabulary import BODY_RADII, KINDS

__all__ = ["GroupPlan", "lay_out", "place_body"]

_MARGIN = 0.03
_GAP = 0.035
_GROUP_GAP = 0.06
_SKY_FLOOR = 0.57
_SWAY = 0.16
"""How far, as a share of the free width, two groups shift from standing evenly."""
_CLEAR_ABOVE: Mapping[str, float] = MappingProxyType(
    {"mountains": 0.34, "hills": 0.47, "sea": 0.54, "desert": 0.49, "city": 0.33, "forest": 0.40}
)
"""Above this line the land never reaches."""


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """A group before it has places: `scale` is the size of this group's objects against the size word's."""

    kind: str
    colour: str
    size: str
    count: int
    scale: float

    @property
    def height(self) -> float:
        """Height of each object."""
        return KINDS[self.kind].height(self.size) * self.scale

    @property
    def width(self) -> float:
        """Width of each object."""
        return self.height * KINDS[self.kind].aspect

    @property
    def row_width(self) -> float:
        """Least width of the whole row."""
        return self.count * self.width + (self.count - 1) * _GAP

    @property
    def flies(self) -> bool:
        """Whether it belongs in the sky."""
        return KINDS[self.kind].realm == "sky"


def lay_out(plans: Sequence[GroupPlan], word: str | None, chance: Chance) -> tuple[Group, ...] | None:
    """Places for one or two groups, so that the first one's relation to the second (or the picture) holds.

    None where these sizes and counts have no room.
    """
    spans = _spans(plans, word, chance.stream("spans"))
    if spans is None:
        return None
    floors = [_SKY_FLOOR] * len(plans)
    bottoms = [_baseline(plan, chance.stream("baseline", number)) for number, plan in enumerate(plans)]
    if word == "above" and len(plans) == 2:
        floors[0] = bottoms[1] - plans[1].height - 0.035
    groups = []
    for number, (plan, (left, right)) in enumerate(zip(plans, spans)):
        row = chance.stream("row", number)
        if plan.flies and floors[number] < plan.height + 0.045:
            return None
        tops = _flying_tops(plan, floors[number], row) if plan.flies else _standing_tops(plan, bottoms[number], row)
        groups.append(Group(plan.kind, plan.colour, plan.size, _places(plan, left, right, tops, row)))
    return tuple(groups)


def _spans(plans: Sequence[GroupPlan], word: str | None, chance: Chance) -> list[tuple[float, float]] | None:
    """The horizontal interval that each group fills."""
    room = 1 - 2 * _MARGIN
    if any(plan.row_width > room for plan in plans):
        return None
    if len(plans) == 1:
        span = _lone_span(plans[0], word, chance)
        return None if span is None else [span]
    if word == "above":
        wide, narrow = sorted(plans, key=lambda plan: -plan.row_width)
        outer = _somewhere(wide.row_width, _MARGIN, 1 - _MARGIN, chance)
        middle = (outer[0] + outer[1]) / 2 + chance.between(-0.04, 0.04)
        left = min(max(middle - narrow.row_width / 2, _MARGIN), 1 - _MARGIN - narrow.row_width)
        inner = (left, left + narrow.row_width)
        return [outer, inner] if wide is plans[0] else [inner, outer]
    first, second = (plans[1], plans[0]) if word == "right of" else (plans[0], plans[1])
    slack = room - first.row_width - second.row_width - _GROUP_GAP
    if slack < 0:
        return None
    shares = [chance.between(1 / 3 - _SWAY, 1 / 3 + _SWAY), chance.between(2 / 3 - _SWAY, 2 / 3 + _SWAY)]
    left = _MARGIN + slack * shares[0]
    other = left + first.row_width + _GROUP_GAP + slack * (shares[1] - shares[0])
    spans = [(left, left + first.row_width), (other, other + second.row_width)]
    return spans[::-1] if word == "right of" else spans


def _lone_span(plan: GroupPlan, word: str | None, chance: Chance) -> tuple[float, float] | None:
    width = plan.row_width
    middle = {
        "on the left": chance.between(0.17, 0.30),
        "on the right": chance.between(0.70, 0.83),
        "in the middle": chance.between(0.46, 0.54),
    }.get(word or "")
    if middle is None:
        spread = min(1.25, 1 + chance.unit() * 0.3) if plan.count > 1 else 1.0
        return _somewhere(min(width * spread, 1 - 2 * _MARGIN), _MARGIN, 1 - _MARGIN, chance)
    if width / 2 > min(middle, 1 - middle) - _MARGIN:
        return None
    return middle - width / 2, middle + width / 2


def _somewhere(width: float, low: float, high: float, chance: Chance) -> tuple[float, float]:
    left = low + max(0.0, high - width - low) * (chance.unit() + chance.unit()) / 2
    return left, left + width


def _baseline(plan: GroupPlan, chance: Chance) -> float:
    if KINDS[plan.kind].realm == "water":
        return min(0.66 + plan.height * 0.36, 0.80) + chance.between(-0.015, 0.015)
    return chance.between(0.85, 0.93)


def _standing_tops(plan: GroupPlan, bottom: float, chance: Chance) -> list[float]:
    return [bottom + chance.between(-0.012, 0.012) - plan.height for _ in range(plan.count)]


def _flying_tops(plan: GroupPlan, floor: float, chance: Chance) -> list[float]:
    """Heights in the sky; a row goes up and down."""
    low, high = 0.035, floor - plan.height
    if plan.count == 1:
        return [chance.between(low, high)]
    swing = min(0.16, high - low)
    start = chance.between(low, high - swing)
    return [start + swing * (0.75 * ((place + 1) % 2) + chance.between(0, 0.25)) for place in range(plan.count)]


def _places(plan: GroupPlan, left: float, right: float, tops: Sequence[float], chance: Chance) -> tuple[Place, ...]:
    step = 0.0 if plan.count == 1 else (right - left - plan.width) / (plan.count - 1)
    return tuple(
        Place(left + plan.width / 2 + step * number, top + plan.height / 2, plan.width, plan.height)
        for number, top in enumerate(tops)
    )


def place_body(body: str, size: str, land: str, groups: Sequence[Group], chance: Chance) -> Celestial | None:
    """The sun or the moon where nothing covers it; None where there is no such place."""
    radius = BODY_RADII[size] * chance.between(0.94, 1.06)
    low, high = radius + 0.04, _CLEAR_ABOVE[land] - radius * 1.05
    taken = [place.box for group in groups for place in group.places]
    for _ in range(16):
        x, y = chance.between(radius + 0.05, 0.95 - radius), chance.between(low, max(low, high))
        if not any(Box(x - radius, y - radius, x + radius, y + radius).overlaps(box, 0.03) for box in taken):
            return Celestial(body, size, x, y, radius)
    return None
