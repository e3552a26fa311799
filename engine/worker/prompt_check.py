"""Runs the validators that only exist as code, for a prompt that is not queued yet."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from engine.api import NodeDefinition
from engine.core.errors import AtelierError
from engine.core.ids import NodeId
from engine.graph.graph import Graph, GraphNode, Link
from engine.graph.prompt import parse_prompt
from engine.graph.schema import NodeSpec
from engine.worker.failures import exception_name
from engine.worker.hooks import constants_of

__all__ = ["check_prompt"]


def check_prompt(
    prompt: Mapping[str, Any], nodes: Sequence[str], definitions: Mapping[str, NodeDefinition]
) -> list[dict[str, Any]]:
    """Complaints of the validators of `nodes`: {node, code, message, details, input?, extra?}. Raises nothing.

    Codes are custom_validation_failed (one per argument the validator names) and exception_during_validation.
    """
    try:
        graph = parse_prompt(prompt)
    except AtelierError as error:
        return [{"node": "", "code": error.code, "message": error.message, "details": ""}]
    complaints: list[dict[str, Any]] = []
    for name in nodes:
        node = graph.nodes.get(NodeId(name))
        definition = definitions.get(node.type) if node is not None else None
        if node is not None and definition is not None and definition.validate is not None:
            complaints += _check_node(node, definition, graph, definitions)
    return complaints


def _check_node(
    node: GraphNode, definition: NodeDefinition, graph: Graph, definitions: Mapping[str, NodeDefinition]
) -> list[dict[str, Any]]:
    arguments = _arguments(node, definition.spec, graph, definitions)
    try:
        answer = definition.validate(**arguments)  # type: ignore[misc] - the caller checked that there is one
        if inspect.iscoroutine(answer):
            answer.close()
            raise TypeError(f"the validator of {node.type} is a coroutine function; it must be a plain one")
    except Exception as error:  # noqa: BLE001 - code of a pack; what it raised is the complaint
        extra = {"exception_type": exception_name(error), "traceback": traceback.format_tb(error.__traceback__)}
        return [
            {
                "node": node.id,
                "code": "exception_during_validation",
                "message": "Exception when validating node",
                "details": str(error),
                "extra": extra,
            }
        ]
    if answer is True:
        return []
    named = [name for name in arguments if name != "input_types"] or [""]
    return [_refusal(node, name, answer) for name in named]


def _refusal(node: GraphNode, name: str, answer: Any) -> dict[str, Any]:
    return {
        "node": node.id,
        "code": "custom_validation_failed",
        "message": "Custom validation failed for node",
        "details": name if answer is False or answer is None else f"{name} - {answer}",
        "input": name,
    }


def _arguments(
    node: GraphNode, spec: NodeSpec, graph: Graph, definitions: Mapping[str, NodeDefinition]
) -> dict[str, Any]:
    """What the validator names: constants, None for links, and `input_types` {input: received type} if it asks."""
    values = constants_of(node, spec, {"PROMPT": {}, "EXTRA_PNGINFO": None})
    hidden = {item.name for item in spec.hidden_inputs}
    visible = {name for name in values if name not in hidden}
    if "*" in spec.validates:
        arguments = {name: value for name, value in values.items() if name in visible}
    else:
        arguments = {name: values[name] for name in spec.validates if name in values}
    if spec.validates_types:
        arguments["input_types"] = {
            name: _received_type(link, graph, definitions) for name, link in node.links() if name in visible
        }
    return arguments


def _received_type(link: Link, graph: Graph, definitions: Mapping[str, NodeDefinition]) -> str:
    source = graph.nodes.get(link.node)
    definition = definitions.get(source.type) if source is not None else None
    outputs = definition.spec.outputs if definition is not None else ()
    return outputs[link.slot].type if 0 <= link.slot < len(outputs) else "*"
