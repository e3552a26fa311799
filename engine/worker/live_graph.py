"""The graph of a running job with the nodes that expansions added, as nodes with a DYNPROMPT input read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.core.errors import NotFoundError

__all__ = ["LiveGraph"]


class LiveGraph:
    """Nodes in API form by id. The method names are those existing packs call."""

    def __init__(self, prompt: Mapping[str, Any]) -> None:
        self._prompt = prompt
        self._generated: dict[str, Mapping[str, Any]] = {}
        self._parents: dict[str, str] = {}

    def add(self, parent: str, nodes: Mapping[str, Mapping[str, Any]]) -> None:
        """Record the nodes an expansion of `parent` made."""
        self._generated.update(nodes)
        self._parents.update(dict.fromkeys(nodes, parent))

    def get_node(self, node_id: str) -> Mapping[str, Any]:
        """The node in API form. Raises NotFoundError."""
        for nodes in (self._generated, self._prompt):
            if node_id in nodes:
                return nodes[node_id]
        raise NotFoundError(f"There is no node {node_id!r} in this job.")

    def has_node(self, node_id: str) -> bool:
        """Whether the job has the node."""
        return node_id in self._prompt or node_id in self._generated

    def all_node_ids(self) -> set[str]:
        """Ids of submitted and generated nodes."""
        return set(self._prompt) | set(self._generated)

    def get_original_prompt(self) -> Mapping[str, Any]:
        """The submitted prompt."""
        return self._prompt

    def get_parent_node_id(self, node_id: str) -> str | None:
        """The node whose expansion made this one; None for a submitted node."""
        return self._parents.get(node_id)

    def get_real_node_id(self, node_id: str) -> str:
        """The submitted node this one descends from."""
        while node_id in self._parents:
            node_id = self._parents[node_id]
        return node_id

    def get_display_node_id(self, node_id: str) -> str:
        """The node shown for this one."""
        while node_id in self._parents:
            node_id = self._generated[node_id].get("override_display_id") or self._parents[node_id]
        return node_id
