"""Files that a cached node shows again: the names in its UI output, told as the assets they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from engine.server.change import Change
from engine.server.tables import ASSETS

__all__ = ["with_files"]

_PLACE = ("filename", "subfolder", "type")
_NUMBERED = re.compile(r"(.+)_(\d{5,15})_\.[^.]+")
_FIND = (
    sa.select(ASSETS.c.id)
    .where(
        ASSETS.c.folder == sa.bindparam("type"),
        ASSETS.c.subfolder == sa.bindparam("subfolder"),
        ASSETS.c.prefix == sa.bindparam("prefix"),  # these two only for the index, which has no file names
        ASSETS.c.counter == sa.bindparam("counter"),
        ASSETS.c.filename == sa.bindparam("filename"),
        ASSETS.c.is_placed,
    )
    .order_by(ASSETS.c.created_s.desc())
    .limit(1)
)


def with_files(change: Change, kind: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """A cached `node_finished` with `files`, as in `outputs_placed`; every other report as it is.

    A node that is served from the cache places nothing, so no other event says which assets it shows. Names that no
    asset has any more (the temp folder is emptied at a start) are left out.
    """
    if kind != "node_finished" or data.get("cached") is not True:
        return data
    files = []
    for place in _places(data.get("ui")):
        asset = change.connection.scalar(_FIND, {**place, **_key(place["filename"])})
        if asset is not None:
            files.append({**place, "asset": asset})
    return {**data, "files": files} if files else data


def _places(ui: Any) -> Iterator[dict[str, str]]:
    """The entries of a UI output that name a visible file."""
    if not isinstance(ui, Mapping):
        return
    for entries in ui.values():
        for entry in entries if isinstance(entries, list) else ():
            place = {key: entry.get(key) for key in _PLACE} if isinstance(entry, Mapping) else {}
            if place and all(isinstance(value, str) for value in place.values()):
                yield place


def _key(filename: str) -> dict[str, Any]:
    """How the row of a file of this name is numbered."""
    match = _NUMBERED.fullmatch(filename)
    if match is None:
        return {"prefix": filename.rpartition(".")[0], "counter": 0}
    return {"prefix": match[1], "counter": int(match[2])}
