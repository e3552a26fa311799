"""Where the value of a link really comes from: through reroutes, bypassed nodes and the walls of subgraphs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.core.errors import GraphError
from engine.core.ids import NodeId
from engine.graph.graph import Link
from engine.graph.scopes import BYPASSED, EDITOR_ONLY, MUTED, EditorLink, Scope, entries, link_of, type_of

__all__ = ["REMOVED", "SourceFinder", "socket_type"]


@dataclass(frozen=True, slots=True)
class _Removed:
    """The link leads to a node that is muted: the input goes away, and a widget value with it."""


REMOVED = _Removed()
_Place = tuple[Scope, str]


class SourceFinder:
    """Resolves links; remembers every link it passed, so that shared chains are walked once."""

    def __init__(self) -> None:
        self._known: dict[tuple[Scope, str, str], Link | _Removed | None] = {}

    def find(self, scope: Scope, link_id: str, wanted: str) -> Link | _Removed | None:
        """The output a link takes its value from.

        Args:
            scope: where the link is.
            link_id: its id.
            wanted: type of the input at the end of the chain; decides the way through bypassed nodes.

        Returns None when the link leads nowhere, REMOVED when it leads to a muted node. Raises GraphError (code
        "cycle") for reroutes and bypassed nodes that feed themselves.
        """
        link = scope.index.links.get(link_id)
        if link is None:
            return None
        first = _step(scope, link, wanted)
        return self._follow(first, wanted) if isinstance(first, tuple) else first

    def _follow(self, place: _Place, wanted: str) -> Link | _Removed | None:
        """The rest of a chain, walked once and remembered for every link on it."""
        passed: list[tuple[Scope, str, str]] = []
        seen: set[tuple[Scope, str, str]] = set()
        found: Link | _Removed | None = None
        step: _Place | Link | _Removed | None = place
        while isinstance(step, tuple):
            place = step
            key = (*place, wanted)
            if key in self._known:
                found = self._known[key]
                break
            if key in seen:
                raise GraphError(
                    "Reroutes or bypassed nodes feed themselves in a cycle.",
                    code="cycle",
                    hint="Remove one of the links between them.",
                    node=f"{place[0].prefix}{place[0].index.links[place[1]].origin}",
                )
            seen.add(key)
            passed.append(key)
            link = place[0].index.links.get(place[1])
            step = None if link is None else _step(place[0], link, wanted)
            found = None if isinstance(step, tuple) else step
        for key in passed:
            self._known[key] = found
        return found


def _step(scope: Scope, link: EditorLink, wanted: str) -> _Place | Link | _Removed | None:
    """One step up a link: the next link, or the end."""
    if link.origin == "-10":
        outer = scope.instance_link(link.slot)
        return None if outer is None or scope.parent is None else (scope.parent, outer)
    node = scope.index.nodes.get(link.origin)
    if node is None:
        return None
    kind = type_of(node)
    if kind == "Reroute":
        return _input_link(scope, node, 0)
    if kind in EDITOR_ONLY:
        return None
    if node.get("mode") == MUTED:
        return REMOVED
    if node.get("mode") == BYPASSED:
        position = _bypass_input(node, link.slot, wanted)
        return None if position is None else _input_link(scope, node, position)
    child = scope.children.get(link.origin)
    if child is not None:
        inner = child.index.panel_links.get(link.slot)
        return None if inner is None else (child, inner)
    return Link(NodeId(scope.prefix + link.origin), link.slot)


def _input_link(scope: Scope, node: Mapping[str, Any], position: int) -> _Place | None:
    inputs = entries(node, "inputs")
    link = link_of(inputs[position]) if position < len(inputs) else None
    return None if link is None else (scope, link)


def _bypass_input(node: Mapping[str, Any], slot: int, wanted: str) -> int | None:
    """Which input of a bypassed node takes the place of its output `slot` when a value of type `wanted` is needed."""
    inputs = [socket_type(item) for item in entries(node, "inputs")]
    outputs = entries(node, "outputs")
    if wanted in ("*", ""):
        if not inputs:
            return None
        return slot if 0 <= slot < len(inputs) else 0
    given = socket_type(outputs[slot]) if 0 <= slot < len(outputs) else ""

    def fits(kind: str) -> bool:
        return _compatible(kind, wanted) and _compatible(kind, given)

    if 0 <= slot < len(inputs) and fits(inputs[slot]):
        return slot
    for position, kind in enumerate(inputs):
        if kind == wanted:
            return position
    return next((position for position, kind in enumerate(inputs) if fits(kind)), None)


def socket_type(item: Mapping[str, Any]) -> str:
    """The type of an input or output entry; a list of choices (old files) is COMBO."""
    kind = item.get("type")
    if isinstance(kind, str):
        return kind
    return "COMBO" if isinstance(kind, list) else ""


def _compatible(first: str, second: str) -> bool:
    if first == second or "*" in (first, second) or not first or not second:
        return True
    one = {part.strip() for part in first.lower().split(",")}
    return not one.isdisjoint(part.strip() for part in second.lower().split(","))
