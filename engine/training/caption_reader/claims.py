"""What a postcard's caption names, as a table of yes and no that a text encoder can be asked for.

Rows are the things a caption can speak of: each kind of object, each body in the sky, and the scenery. Columns are what
can be said of them. Two groups of one kind share a row; a pair that is named is always told apart by its colours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.training.postcards.captions import Named
from engine.training.postcards.vocabulary import (
    BODY_RADII,
    COLOURS,
    KINDS,
    LANDS,
    STYLES,
    TIMES,
    WEATHERS,
)

__all__ = ["NUM_COLUMNS", "NUM_ROWS", "claims_of"]

_BODIES = ("sun", "full moon", "crescent moon")
_SCENERY = {"time": TIMES, "weather": WEATHERS, "land": LANDS, "style": STYLES}
_RELATIONS = ("left of", "right of", "above")
_SIDES = ("on the left", "on the right", "in the middle")
_MAX_COUNT = 4

_ROWS = {name: row for row, name in enumerate((*KINDS, *_BODIES, *_SCENERY))}
_COLUMNS = {
    name: column
    for column, name in enumerate(
        (
            "named",
            *(f"colour {colour}" for colour in COLOURS),
            *(f"count {count}" for count in range(1, _MAX_COUNT + 1)),
            *(f"size {size}" for size in BODY_RADII),
            *(f"subject {word}" for word in (*_RELATIONS, *_SIDES)),
            *(f"target {word}" for word in _RELATIONS),
        )
    )
}
NUM_ROWS = len(_ROWS)
"""Things a caption can speak of."""
NUM_COLUMNS = len(_COLUMNS)
"""Answers a row has; scenery uses the first few for its words."""


def claims_of(named: Named) -> NDArray[np.float32]:
    """1 where the caption says so: float32 [`NUM_ROWS` `NUM_COLUMNS`]."""
    table = np.zeros((NUM_ROWS, NUM_COLUMNS), dtype=np.float32)
    for item in named.objects:
        row = table[_ROWS[item.kind]]
        row[_COLUMNS["named"]] = row[_COLUMNS[f"count {item.count}"]] = 1.0
        if item.colour is not None:
            row[_COLUMNS[f"colour {item.colour}"]] = 1.0
        if item.size is not None:
            row[_COLUMNS[f"size {item.size}"]] = 1.0
    if (relation := named.relation) is not None:
        table[_ROWS[named.objects[relation.subject].kind], _COLUMNS[f"subject {relation.word}"]] = 1.0
        if relation.target is not None:
            table[_ROWS[named.objects[relation.target].kind], _COLUMNS[f"target {relation.word}"]] = 1.0
    if named.body is not None:
        row = table[_ROWS[named.body.body]]
        row[_COLUMNS["named"]] = 1.0
        if named.body.size is not None:
            row[_COLUMNS[f"size {named.body.size}"]] = 1.0
    for name, words in _SCENERY.items():
        if (said := getattr(named, name)) is not None:
            table[_ROWS[name], words.index(said)] = 1.0
    return table
