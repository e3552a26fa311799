"""Prompt files (API JSON) ↔ `Graph`. Syntax only: types, ranges and links are checked by `validate`.

A prompt is an object of nodes by id: `{"3": {"class_type": "KSampler", "inputs": {"seed": 5, "model": ["4", 0]}}}`.
A list among the inputs is a link; a list meant as a value is wrapped as `{"__value__": [...]}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.core.errors import GraphError
from engine.core.ids import NodeId
from engine.graph.graph import BadLink, Graph, GraphNode, Link
from engine.graph.json_text import load_json

__all__ = ["is_prompt", "link_pair", "load_json", "parse_prompt", "to_prompt", "wrap_constant"]

_WRAPPER = "__value__"
_SHOWN_PROBLEMS = 20
_SCALARS = frozenset({str, int, float, bool, type(None)})


def is_prompt(value: Any) -> bool:
    """Whether a JSON value looks like a prompt: an object whose values are all nodes (at least one)."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(node, dict) and "class_type" in node for node in value.values())
    )


def parse_prompt(value: Any) -> Graph:
    """The graph of a parsed prompt: dicts, lists and scalars, as `load_json` gives them.

    Nodes without a `class_type` get the type "", malformed links become `BadLink`s: `validate` reports them together
    with everything else. Raises GraphError (code "bad_prompt") when the value is no object of objects, listing all
    such places in `details["problems"]`.
    """
    if not isinstance(value, dict):
        raise GraphError(
            f"A prompt is an object of nodes by id, not {_kind(value)}.",
            code="bad_prompt",
            hint="Save the workflow in API format.",
        )
    nodes: dict[NodeId, GraphNode] = {}
    problems: list[tuple[str, str]] = []
    for node_id, record in value.items():
        node = _parse_node(node_id, record, problems)
        if node is not None:
            nodes[node.id] = node
    if problems:
        raise GraphError(
            problems[0][1],
            code="bad_prompt",
            hint="Save the workflow in API format.",
            node=problems[0][0],
            details={"problems": [{"node": node, "message": text} for node, text in problems[:_SHOWN_PROBLEMS]]},
        )
    return Graph(nodes)


def _parse_node(node_id: Any, record: Any, problems: list[tuple[str, str]]) -> GraphNode | None:
    if not isinstance(node_id, str):
        problems.append((str(node_id), f"Node ids are strings, not {_kind(node_id)}."))
        return None
    if not isinstance(record, dict):
        problems.append((node_id, f"Node {node_id!r} is {_kind(record)} instead of an object."))
        return None
    inputs = record.get("inputs")
    if inputs is None:
        inputs = {}
    class_type = record.get("class_type")
    if not isinstance(inputs, dict):
        problems.append((node_id, f"The inputs of node {node_id!r} are {_kind(inputs)} instead of an object."))
        return None
    meta = record.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    return GraphNode(
        id=NodeId(node_id),
        type=class_type if isinstance(class_type, str) else "",
        inputs={name: _parse_value(item) if isinstance(item, (list, dict)) else item for name, item in inputs.items()},
        title=title if isinstance(title, str) else "",
    )


def _parse_value(value: Any) -> Any:
    if isinstance(value, list):
        return link_pair(value)
    return value.get(_WRAPPER, value) if isinstance(value, dict) else value


def link_pair(value: list[Any]) -> Link | BadLink:
    """A list as a link: exactly `[node id, slot]`, a string and an integer."""
    if len(value) == 2 and type(value[0]) is str and type(value[1]) is int:
        return Link(NodeId(value[0]), value[1])
    return BadLink(value)


def wrap_constant(value: Any) -> Any:
    """A constant as it stands in a prompt: lists, and objects that would be unwrapped, are wrapped."""
    if isinstance(value, (list, tuple)) or (isinstance(value, Mapping) and _WRAPPER in value):
        return {_WRAPPER: value}
    return value


def to_prompt(graph: Graph) -> dict[str, Any]:
    """The graph as a prompt; `parse_prompt` gives back an equal graph. Titles go to `_meta`."""
    return {node.id: _record(node) for node in graph.nodes.values()}


def _record(node: GraphNode) -> dict[str, Any]:
    inputs: dict[str, Any] = {}
    for name, value in node.inputs.items():
        if type(value) is Link:
            inputs[name] = [value.node, value.slot]
        elif type(value) is BadLink:
            inputs[name] = value.value
        else:
            inputs[name] = value if type(value) in _SCALARS else wrap_constant(value)
    record: dict[str, Any] = {"inputs": inputs}
    if node.type:
        record["class_type"] = node.type
    if node.title:
        record["_meta"] = {"title": node.title}
    return record


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "a string", list: "a list"}
    return names.get(type(value), "an object")
