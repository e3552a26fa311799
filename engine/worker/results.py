"""What a node function returned → the values the executor understands."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.api import Blocker, GraphExpansion, NodeDefinition, NodeResult
from engine.core.errors import NodeError
from engine.core.ids import NodeId
from engine.execution.events import CallResult, Expansion
from engine.graph.graph import Graph, GraphNode, Link
from engine.graph.prompt import link_pair

__all__ = ["merge_ui", "to_expansion", "to_result", "to_values", "ui_lists"]


def to_result(returned: Any, definition: NodeDefinition) -> NodeResult:
    """Any return form of a node function as a NodeResult whose values fit the declared outputs.

    Raises NodeError (code bad_node_result) that says what was returned and what was declared.
    """
    spec = definition.spec
    if isinstance(returned, NodeResult):
        if returned.blocked is not None or (not returned.values and returned.expand is None and not spec.outputs):
            return returned
        _check_count(definition, len(returned.values), "NodeResult with")
        return returned
    if isinstance(returned, Blocker) and len(spec.outputs) != 1:
        return NodeResult(blocked=returned)
    if not spec.outputs:
        if returned is not None:
            raise _misfit(definition, f"returned {type(returned).__name__} although it declares no outputs")
        return NodeResult()
    if definition.returns_tuple or len(spec.outputs) > 1:
        if not isinstance(returned, tuple):
            raise _misfit(definition, f"returned {type(returned).__name__} instead of a tuple")
        _check_count(definition, len(returned), "a tuple of")
        return NodeResult(values=returned)
    return NodeResult(values=(returned,))


def to_values(result: NodeResult, definition: NodeDefinition, expansion: Expansion | None) -> CallResult:
    """The CallResult of a checked NodeResult; `expansion` is its parsed `expand`. Raises NodeError."""
    if result.blocked is not None:
        return CallResult(blocked=result.blocked)
    values = []
    for index, (value, output) in enumerate(zip(result.values, definition.spec.outputs)):
        if expansion is not None and (link := _link_into(value, expansion.nodes)) is not None:
            values.append(link)
        elif output.is_list and not isinstance(value, Blocker):
            if not isinstance(value, (list, tuple)):
                raise _misfit(definition, f"gave {type(value).__name__} for output {index}, which is a list")
            values.append(list(value))
        else:
            values.append(value)
    return CallResult(tuple(values), expansion=expansion)


def _check_count(definition: NodeDefinition, count: int, form: str) -> None:
    wanted = len(definition.spec.outputs)
    if count != wanted:
        raise _misfit(definition, f"returned {form} {count} values although it declares {wanted} outputs")


def _misfit(definition: NodeDefinition, what: str) -> NodeError:
    names = ", ".join(output.name for output in definition.spec.outputs) or "none"
    return NodeError(
        f"The node type {definition.spec.name} {what}.",
        code="bad_node_result",
        hint=f"Its function must return one value per declared output ({names}), or a NodeResult.",
    )


# ------------------------------------------------------------------ expansion


def to_expansion(expand: GraphExpansion, known_types: Iterable[str]) -> Expansion:
    """Nodes in API form as a graph. A list `[id, slot]` is a link; every other list and object is a constant.

    Raises NodeError (code bad_expansion) for malformed nodes and unknown types.
    """
    nodes: dict[NodeId, GraphNode] = {}
    display: dict[NodeId, NodeId] = {}
    known = frozenset(known_types)
    for node_id, record in expand.nodes.items():
        if not isinstance(record, Mapping) or not isinstance(record.get("inputs", {}), Mapping):
            raise NodeError(f"The expansion's node {node_id!r} is not an object with inputs.", code="bad_expansion")
        kind = record.get("class_type")
        if kind not in known:
            raise NodeError(f"The expansion's node {node_id!r} has the unknown type {kind!r}.", code="bad_expansion")
        inputs = {name: _input_value(value) for name, value in record.get("inputs", {}).items()}
        nodes[NodeId(node_id)] = GraphNode(NodeId(node_id), kind, inputs)
        if record.get("override_display_id"):
            display[NodeId(node_id)] = NodeId(str(record["override_display_id"]))
    return Expansion(Graph(nodes), display=display)


def _input_value(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    link = link_pair(value)
    return link if isinstance(link, Link) else value


def _link_into(value: Any, nodes: Graph) -> Link | None:
    if isinstance(value, Link):
        return value
    link = link_pair(value) if isinstance(value, list) else None
    return link if isinstance(link, Link) and link.node in nodes else None


# ------------------------------------------------------------------ UI output


def ui_lists(ui: Mapping[str, Any] | None, definition: NodeDefinition) -> dict[str, list[Any]] | None:
    """UI output as JSON lists by key. Raises NodeError (code bad_ui_output) for what JSON has no form for."""
    if ui is None:
        return None
    lists = {str(key): list(value) if isinstance(value, (list, tuple)) else [value] for key, value in ui.items()}
    try:
        json.dumps(lists)
    except (TypeError, ValueError, RecursionError) as error:
        raise NodeError(
            f"The UI output of the node type {definition.spec.name} cannot be shown: {error}.",
            code="bad_ui_output",
            hint="UI output holds lists of texts, numbers and plain objects.",
        ) from error
    return lists


def merge_ui(parts: Sequence[Mapping[str, list[Any]] | None]) -> dict[str, list[Any]] | None:
    """The UI output of all calls of a node: per key the lists of the calls, one after the other."""
    given = [part for part in parts if part is not None]
    if not given:
        return None
    merged: dict[str, list[Any]] = {}
    for part in given:
        for key, items in part.items():
            merged.setdefault(key, []).extend(items)
    return merged
