"""Where everything in a postcard is: exact masks and boxes, from the same drawing that paints it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.training.postcards.palette import light_of
from engine.training.postcards.scene import Scene
from engine.training.postcards.sprites import coverage_of, paint_object
from engine.training.postcards.styles import moved

__all__ = ["ObjectTruth", "truth_of"]


@dataclass(frozen=True, slots=True)
class ObjectTruth:
    """One object: its group and place in the scene, its mask bool [h w] and its box in pixels, right and bottom out.

    The box is (left, top, right, bottom).
    """

    group: int
    place: int
    kind: str
    colour: str
    mask: np.ndarray
    box_px: tuple[int, int, int, int]


def truth_of(scene: Scene, size_px: int = 256) -> tuple[ObjectTruth, ...]:
    """Every object of the scene's picture of this size, group by group, from left to right."""
    light = light_of(scene.sky.time)
    truths = []
    for group_number, group in enumerate(scene.groups):
        for place_number, place in enumerate(group.places):
            sprite = paint_object(group.kind, group.colour, place, light, size_px)
            coverage = np.rint(coverage_of(sprite, size_px)[..., 0] * 255).astype(np.uint8)
            mask = moved(coverage, scene.style, scene.variant) > 127
            truths.append(ObjectTruth(group_number, place_number, group.kind, group.colour, mask, _box(mask)))
    return tuple(truths)


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
