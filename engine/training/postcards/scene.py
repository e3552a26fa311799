"""A scene: everything a postcard shows, as data. Pictures, captions and ground truth are all made from it.

Positions and lengths are shares of the picture's side: x from the left, y from the top.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Box", "Celestial", "Group", "Place", "Relation", "Scene", "Sky", "Split"]

Split = Literal["train", "held_out"]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle: left ≤ right, top ≤ bottom."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box, margin: float = 0.0) -> bool:
        """Whether the rectangles come closer than the margin."""
        return (
            self.left < other.right + margin
            and other.left < self.right + margin
            and self.top < other.bottom + margin
            and other.top < self.bottom + margin
        )


@dataclass(frozen=True, slots=True)
class Celestial:
    """The sun or the moon: its body ("sun", "full moon", "crescent moon"), size word, middle and radius."""

    body: str
    size: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True, slots=True)
class Sky:
    """Time of day, weather and what shines."""

    time: str
    weather: str
    celestial: Celestial | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where one object stands: the middle of its box, the box's width and height, and whether it is mirrored.

    In scenes nothing is mirrored; the judge knows both.
    """

    x: float
    y: float
    width: float
    height: float
    is_mirrored: bool = False

    @property
    def box(self) -> Box:
        """The object's rectangle."""
        half_width, half_height = self.width / 2, self.height / 2
        return Box(self.x - half_width, self.y - half_height, self.x + half_width, self.y + half_height)


@dataclass(frozen=True, slots=True)
class Group:
    """Objects of one kind, colour and size word; one place for each, from left to right."""

    kind: str
    colour: str
    size: str
    places: tuple[Place, ...]

    @property
    def count(self) -> int:
        """How many objects the group has."""
        return len(self.places)

    @property
    def box(self) -> Box:
        """The smallest rectangle around all its objects."""
        boxes = [place.box for place in self.places]
        return Box(
            min(box.left for box in boxes),
            min(box.top for box in boxes),
            max(box.right for box in boxes),
            max(box.bottom for box in boxes),
        )


@dataclass(frozen=True, slots=True)
class Relation:
    """How group `subject` lies to group `target` ("left of", "right of", "above"), or to the picture.

    To the picture ("on the left", "on the right", "in the middle") the target is None.
    """

    subject: int
    word: str
    target: int | None


@dataclass(frozen=True, slots=True)
class Scene:
    """One postcard. `variant` chooses the shapes of land and clouds; it has no word in captions."""

    index: int
    seed: int
    split: Split
    style: str
    sky: Sky
    land: str
    groups: tuple[Group, ...]
    relation: Relation | None
    variant: int
