"""Calls the hooks of a node that look at its inputs before it runs: its fingerprint and its validator."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from engine.graph.graph import GraphNode, Link
from engine.graph.schema import NodeSpec

__all__ = ["constants_of", "hook_arguments"]


def constants_of(node: GraphNode, spec: NodeSpec, hidden: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs as hooks see them: constants as they are, linked inputs None, hidden ones by their token.

    Inputs the node does not take are left out. `hidden` maps tokens to values; UNIQUE_ID is the node's own id.
    """
    values: dict[str, Any] = {}
    for item in spec.inputs:
        if item.presence == "hidden":
            values[item.name] = node.id if item.type == "UNIQUE_ID" else hidden.get(item.type)
        elif item.name in node.inputs:
            value = node.inputs[item.name]
            values[item.name] = None if isinstance(value, Link) else value
    if spec.any_input is not None:
        for name in node.inputs.keys() - spec.inputs_by_name.keys():
            value = node.inputs[name]
            values[name] = None if isinstance(value, Link) else value
    return values


def hook_arguments(hook: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `values` that `hook` names; all of them when it takes `**`."""
    parameters = inspect.signature(hook).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return dict(values)
    return {parameter.name: values[parameter.name] for parameter in parameters if parameter.name in values}
