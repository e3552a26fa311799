"""The compiled graph: immutable nodes joined by links. What a workflow or prompt file becomes before it can run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.core.ids import NodeId

__all__ = ["BadLink", "Graph", "GraphNode", "Link"]


@dataclass(frozen=True, slots=True)
class Link:
    """Output `slot` of node `node`, wired to the input that holds this value."""

    node: NodeId
    slot: int


@dataclass(frozen=True, slots=True)
class BadLink:
    """A list found where only a link `[node id, slot]` may stand. Kept as found, so that `validate` can name it."""

    value: Any


@dataclass(frozen=True, slots=True)
class GraphNode:
    """One node: its type, and per input either a `Link` or a JSON constant. `title` is for people.

    Until `validate` has passed the graph, `type` may be unknown or "" and inputs may be `BadLink`s.
    """

    id: NodeId
    type: str
    inputs: Mapping[str, Link | Any] = field(default_factory=dict)
    title: str = ""

    def links(self) -> list[tuple[str, Link]]:
        """The linked inputs, in order."""
        return [(name, value) for name, value in self.inputs.items() if isinstance(value, Link)]


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes by id, in file order. Links may be dangling or cyclic until `validate` has passed it."""

    nodes: Mapping[NodeId, GraphNode] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, node: NodeId) -> GraphNode:
        return self.nodes[node]

    def __contains__(self, node: object) -> bool:
        return node in self.nodes
