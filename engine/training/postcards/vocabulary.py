"""The words of the postcards: what can be in a scene, in which colours, sizes and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from engine.training.postcards.scene import Group

__all__ = [
    "BASE_EXCLUDED_KINDS",
    "BASE_EXCLUDED_STYLES",
    "BODY_RADII",
    "COLOURS",
    "HELD_OUT_PAIRS",
    "KINDS",
    "LANDS",
    "SIZES",
    "STYLES",
    "TIMES",
    "WEATHERS",
    "Kind",
    "is_held_out",
]

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black", "brown")
SIZES = ("small", "medium", "large")
TIMES = ("day", "sunset", "night", "dawn")
WEATHERS = ("clear", "cloudy", "rain", "snow")
LANDS = ("mountains", "hills", "sea", "desert", "city", "forest")
STYLES = ("flat", "watercolor", "pixel art", "woodcut")

BASE_EXCLUDED_STYLES = ("watercolor", "woodcut")
"""Styles that base training leaves out, so that adapters can learn them."""
BASE_EXCLUDED_KINDS = ("windmill",)
"""Kinds that base training leaves out, so that adapters can bring them."""

HELD_OUT_PAIRS = frozenset(
    {("purple", "house"), ("orange", "car"), ("pink", "boat"), ("green", "balloon"), ("blue", "bird"), ("red", "tree")}
)
"""(colour, kind) that no training scene shows."""

BODY_RADII: Mapping[str, float] = MappingProxyType({"small": 0.058, "medium": 0.080, "large": 0.112})
"""Radius of the sun and the moon by size word."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object: where it belongs ("ground", "sky", "water"), its colours, shape and heights.

    `aspect` is width over height; `heights` go with `SIZES`.
    """

    name: str
    plural: str
    realm: str
    colours: tuple[str, ...]
    aspect: float
    heights: tuple[float, float, float]

    def height(self, size: str) -> float:
        """Height of an object of this size word."""
        return self.heights[SIZES.index(size)]


_TREE_COLOURS = ("red", "orange", "yellow", "green", "pink", "white", "purple")
_FLOWER_COLOURS = ("red", "orange", "yellow", "blue", "purple", "pink", "white")
_CAT_COLOURS = ("orange", "white", "black", "brown", "blue", "pink", "purple")
_KINDS = (
    Kind("house", "houses", "ground", COLOURS, 1.12, (0.215, 0.285, 0.39)),
    Kind("tree", "trees", "ground", _TREE_COLOURS, 0.78, (0.25, 0.33, 0.45)),
    Kind("car", "cars", "ground", COLOURS, 1.9, (0.16, 0.205, 0.27)),
    Kind("lighthouse", "lighthouses", "ground", COLOURS, 0.44, (0.33, 0.43, 0.58)),
    Kind("castle", "castles", "ground", COLOURS, 1.10, (0.235, 0.31, 0.42)),
    Kind("flower", "flowers", "ground", _FLOWER_COLOURS, 0.64, (0.26, 0.34, 0.45)),
    Kind("cat", "cats", "ground", _CAT_COLOURS, 0.86, (0.23, 0.295, 0.4)),
    Kind("windmill", "windmills", "ground", COLOURS, 0.92, (0.28, 0.37, 0.5)),
    Kind("boat", "boats", "water", COLOURS, 0.98, (0.22, 0.29, 0.4)),
    Kind("balloon", "balloons", "sky", COLOURS, 0.74, (0.23, 0.305, 0.42)),
    Kind("bird", "birds", "sky", COLOURS, 1.45, (0.165, 0.215, 0.29)),
)
KINDS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in _KINDS})


def is_held_out(group: Group) -> bool:
    """Whether this colour of this kind is kept out of training."""
    return (group.colour, group.kind) in HELD_OUT_PAIRS
