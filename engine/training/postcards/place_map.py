"""Where everything in a postcard is, on a coarse grid: what a network can be asked for at every place of a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.training.postcards.scene import Box, Scene
from engine.training.postcards.vocabulary import COLOURS, KINDS

__all__ = ["PLACE_CHANNELS", "place_map"]

_BODIES = ("sun", "full moon", "crescent moon")
PLACE_CHANNELS = (*KINDS, *_BODIES, *(f"colour {colour}" for colour in COLOURS))
"""What each channel of a map is about: kinds of object, bodies in the sky, colours of objects."""
_CHANNELS = {name: number for number, name in enumerate(PLACE_CHANNELS)}


def place_map(scene: Scene, num_cells: int = 16) -> NDArray[np.uint8]:
    """Share of each cell that boxes of a kind, body or colour cover: uint8 [channels cells cells], 255 is all."""
    covered = np.zeros((len(PLACE_CHANNELS), num_cells, num_cells), dtype=np.float64)
    for group in scene.groups:
        for place in group.places:
            share = _covered(place.box, num_cells)
            for name in (group.kind, f"colour {group.colour}"):
                np.maximum(covered[_CHANNELS[name]], share, out=covered[_CHANNELS[name]])
    if (body := scene.sky.celestial) is not None:
        box = Box(body.x - body.radius, body.y - body.radius, body.x + body.radius, body.y + body.radius)
        covered[_CHANNELS[body.body]] = _covered(box, num_cells)
    return np.rint(covered * 255).astype(np.uint8)


def _covered(box: Box, num_cells: int) -> NDArray[np.float64]:
    """Share of each cell within a box [cells cells]."""
    return np.outer(_overlap(box.top, box.bottom, num_cells), _overlap(box.left, box.right, num_cells))


def _overlap(start: float, end: float, num_cells: int) -> NDArray[np.float64]:
    edges = np.arange(num_cells + 1) / num_cells
    return np.clip(np.minimum(edges[1:], end) - np.maximum(edges[:-1], start), 0.0, None) * num_cells
