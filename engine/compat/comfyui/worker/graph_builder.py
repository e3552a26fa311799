"""Building the nodes of an expansion: ids that are new in the whole job, links, and final API JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from engine.api import Context
from engine.compat.comfyui.worker.running import running

__all__ = ["GraphBuilder", "Node", "add_graph_prefix", "builder_scope", "is_link"]

_SCOPE: ContextVar[tuple[str, list[int]] | None] = ContextVar("builder_scope", default=None)


def is_link(value: Any) -> bool:
    """Whether a prompt value is a link `[node id, slot]`."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and type(value[1]) in (int, float)


@contextmanager
def builder_scope(context: Context | None) -> Iterator[None]:
    """Count the builders of one call of a node from 0, so that the ids of its expansions are new in the job."""
    if context is None:
        yield
        return
    token = _SCOPE.set((f"{context.node_id}.{context.call_index}.", [0]))
    try:
        yield
    finally:
        _SCOPE.reset(token)


class GraphBuilder:
    """Collects new nodes. Ids are `<node id>.<call index>.<builder index>.<name or 1, 2, …>`."""

    def __init__(self, prefix: str | None = None) -> None:
        self.prefix = _next_prefix() if prefix is None else prefix
        self.nodes: dict[str, Node] = {}
        self.id_gen = 1

    def node(self, class_type: str, id: str | None = None, **inputs: Any) -> Node:
        """Add a node (or give back the one already called `id`)."""
        if id is None:
            id = str(self.id_gen)
            self.id_gen += 1
        full = self.prefix + str(id)
        if full not in self.nodes:
            self.nodes[full] = Node(full, class_type, dict(inputs))
        return self.nodes[full]

    def lookup_node(self, id: str) -> Node | None:
        """The node called `id`, or None."""
        return self.nodes.get(self.prefix + str(id))

    def finalize(self) -> dict[str, Any]:
        """The nodes in API form."""
        return {node.id: node.serialize() for node in self.nodes.values()}

    def replace_node_output(self, node_id: str, index: int, new_value: Any) -> None:
        """Let every input that links to output `index` of a node take `new_value` (None removes the input)."""
        full = self.prefix + str(node_id)
        for node in self.nodes.values():
            for name, value in list(node.inputs.items()):
                if is_link(value) and value[0] == full and value[1] == index:
                    if new_value is None:
                        del node.inputs[name]
                    else:
                        node.inputs[name] = new_value

    def remove_node(self, id: str) -> None:
        """Take a node out."""
        del self.nodes[self.prefix + str(id)]


class Node:
    """A node under construction."""

    def __init__(self, id: str, class_type: str, inputs: dict[str, Any]) -> None:
        self.id = id
        self.class_type = class_type
        self.inputs = inputs
        self.override_display_id: str | None = None

    def out(self, index: int) -> list[Any]:
        """A link to output `index`."""
        return [self.id, index]

    def set_input(self, key: str, value: Any) -> None:
        """Set an input; None removes it."""
        if value is None:
            self.inputs.pop(key, None)
        else:
            self.inputs[key] = value

    def get_input(self, key: str) -> Any:
        """The value of an input, or None."""
        return self.inputs.get(key)

    def set_override_display_id(self, override_display_id: str) -> None:
        """Show this node's progress on another node."""
        self.override_display_id = override_display_id

    def serialize(self) -> dict[str, Any]:
        """The node in API form."""
        record: dict[str, Any] = {"class_type": self.class_type, "inputs": self.inputs}
        if self.override_display_id is not None:
            record["override_display_id"] = self.override_display_id
        return record


def add_graph_prefix(
    graph: Mapping[str, Any], outputs: tuple[Any, ...] | list[Any], prefix: str
) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """Copies of an API graph and of result links with `prefix` before every id."""

    def moved(value: Any) -> Any:
        return [prefix + value[0], value[1]] if is_link(value) else value

    nodes = {
        prefix + node_id: {**node, "inputs": {name: moved(value) for name, value in node.get("inputs", {}).items()}}
        for node_id, node in graph.items()
    }
    return nodes, tuple(moved(value) for value in outputs)


def _next_prefix() -> str:
    scope = _SCOPE.get()
    if scope is None:
        context = running()
        return f"{context.node_id}.{context.call_index}.0." if context is not None else "generated.0.0."
    root, counter = scope
    prefix = f"{root}{counter[0]}."
    counter[0] += 1
    return prefix
