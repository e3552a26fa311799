"""What validation found → the error JSON of POST /prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.core.ids import NodeId
from engine.graph.complaint import Complaint

__all__ = ["node_errors", "prompt_error"]

_FAILED = "prompt_outputs_failed_validation"
_EXCEPTIONS = ("exception_during_validation", "exception_during_inner_validation")


def prompt_error(
    complaints: Sequence[Complaint], dependents: Mapping[NodeId, Sequence[str]], targets: Sequence[str] = ()
) -> dict[str, Any]:
    """The body of the 400: {"error": {type, message, details, extra_info}, "node_errors": {…}}.

    `targets` are the output nodes that were asked for: only what is wrong on them is told in `details`.
    """
    for complaint in complaints:
        if complaint.comfy_type == "invalid_prompt":
            return _envelope("invalid_prompt", _unusable_node(complaint), complaint.details, {})
    if any(complaint.comfy_type == "prompt_no_outputs" for complaint in complaints):
        return _envelope("prompt_no_outputs", "Prompt has no outputs", "", {})
    outputs = {name for names in dependents.values() for name in names} | set(targets)
    lines = []
    for complaint in complaints:
        if complaint.node in outputs and complaint.comfy_type:
            lines.append(f"{_message(complaint)}: {complaint.details}")
    return _envelope(_FAILED, "Prompt outputs failed validation", "\n".join(lines), node_errors(complaints, dependents))


def node_errors(complaints: Sequence[Complaint], dependents: Mapping[NodeId, Sequence[str]]) -> dict[str, Any]:
    """Errors per faulty node; findings the peer has no error type for (cycles) are left out."""
    found: dict[str, Any] = {}
    for complaint in complaints:
        if complaint.node is None or not complaint.comfy_type or complaint.comfy_type == "invalid_prompt":
            continue
        entry = found.setdefault(
            complaint.node,
            {
                "errors": [],
                "dependent_outputs": list(dependents.get(complaint.node, ())),
                "class_type": complaint.node_type,
            },
        )
        entry["errors"].append(
            {
                "type": complaint.comfy_type,
                "message": _message(complaint),
                "details": complaint.details,
                "extra_info": _extra_info(complaint),
            }
        )
    return found


def _envelope(kind: str, message: str, details: str, errors: dict[str, Any]) -> dict[str, Any]:
    error = {"type": kind, "message": message, "details": details, "extra_info": {}}
    return {"error": error, "node_errors": errors}


def _unusable_node(complaint: Complaint) -> str:
    if complaint.code == "missing_node_type":
        return "Cannot execute because a node is missing the class_type property."
    return f"Cannot execute because node {complaint.node_type} does not exist."


def _message(complaint: Complaint) -> str:
    config = complaint.extra.get("input_config")
    messages: Mapping[str, Callable[[], str]] = {
        "required_input_missing": lambda: "Required input is missing",
        "bad_linked_input": lambda: "Bad linked input, must be a length-2 list of [node_id, slot_index]",
        "return_type_mismatch": lambda: "Return type mismatch between linked nodes",
        "invalid_input_type": lambda: (
            f"Failed to convert an input value to a {config[0] if config else complaint.wanted} value"
        ),
        "value_smaller_than_min": lambda: f"Value {complaint.got} smaller than min of {complaint.wanted}",
        "value_bigger_than_max": lambda: f"Value {complaint.got} bigger than max of {complaint.wanted}",
        "value_not_in_list": lambda: "Value not in list",
        "custom_validation_failed": lambda: "Custom validation failed for node",
        "exception_during_validation": lambda: "Exception when validating node",
        "exception_during_inner_validation": lambda: "Exception when validating inner node",
    }
    make = messages.get(complaint.comfy_type)
    return make() if make is not None else complaint.message


def _extra_info(complaint: Complaint) -> dict[str, Any]:
    extra = dict(complaint.extra)
    if complaint.comfy_type in _EXCEPTIONS:
        return {"exception_type": extra.get("exception_type", "Exception"), "traceback": extra.get("traceback", [])}
    if complaint.comfy_type in ("custom_validation_failed", "required_input_missing"):
        return {"input_name": complaint.input}
    extra.setdefault("input_name", complaint.input)
    return extra
