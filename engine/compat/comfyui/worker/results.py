"""What a pack's node function returned → NodeResult."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.api import Blocker, GraphExpansion, NodeError, NodeResult
from engine.compat.comfyui.worker.inputs import plain_json
from engine.compat.comfyui.worker.node_output import NodeOutput

__all__ = ["to_result", "ui_lists"]


def to_result(returned: Any, owner: str, num_outputs: int) -> NodeResult:
    """Understand every return form: tuple, {"ui", "result", "expand"}, a blocker, a NodeOutput, or nothing.

    Raises NodeError when there are fewer values than declared outputs.
    """
    if isinstance(returned, NodeResult):
        return returned
    if isinstance(returned, NodeOutput):
        return _from_node_output(returned, owner, num_outputs)
    if isinstance(returned, Blocker):
        return NodeResult(blocked=returned)
    if isinstance(returned, Mapping):
        return _from_mapping(returned, owner, num_outputs)
    return NodeResult(values=_values(returned, owner, num_outputs))


def _from_mapping(returned: Mapping[str, Any], owner: str, num_outputs: int) -> NodeResult:
    ui = ui_lists(returned["ui"], owner) if returned.get("ui") is not None else None
    result = returned.get("result")
    if isinstance(result, Blocker):
        return NodeResult(ui=ui, blocked=result)
    expand = _expansion(returned.get("expand"))
    if result is None and "expand" not in returned:
        return NodeResult(ui=ui) if num_outputs == 0 else NodeResult(ui=ui, blocked=_no_values(owner))
    values = _values(() if result is None else result, owner, num_outputs)
    return NodeResult(values=values, ui=ui, expand=expand)


def _from_node_output(returned: NodeOutput, owner: str, num_outputs: int) -> NodeResult:
    ui = returned.ui
    if ui is not None and not isinstance(ui, Mapping):
        ui = ui.as_dict()
    lists = ui_lists(ui, owner) if ui is not None else None
    if returned.block_execution is not None:
        return NodeResult(ui=lists, blocked=Blocker(str(returned.block_execution) or None))
    expand = _expansion(returned.expand)
    result = returned.result
    if result is None:
        if num_outputs and expand is None:
            return NodeResult(ui=lists, blocked=_no_values(owner))
        result = ()
    return NodeResult(values=_values(result, owner, num_outputs), ui=lists, expand=expand)


def _no_values(owner: str) -> Blocker:
    return Blocker(f"{owner} gave no values for its outputs.")


def _expansion(declared: Any) -> GraphExpansion | None:
    return GraphExpansion(dict(declared)) if declared is not None else None


def _values(returned: Any, owner: str, num_outputs: int) -> tuple[Any, ...]:
    if num_outputs == 0:
        return ()
    if returned is None:
        raise NodeError(
            f"{owner} returned nothing although it declares {num_outputs} outputs.",
            code="bad_node_result",
            hint="The node's function must return a tuple with one value per entry of RETURN_TYPES.",
        )
    values = tuple(returned) if isinstance(returned, (tuple, list)) else (returned,)
    if len(values) < num_outputs:
        raise NodeError(
            f"{owner} returned {len(values)} values although it declares {num_outputs} outputs.",
            code="bad_node_result",
            hint="The node's function must return a tuple with one value per entry of RETURN_TYPES.",
        )
    return values[:num_outputs]


def ui_lists(ui: Any, owner: str) -> dict[str, list[Any]]:
    """UI output as JSON lists by key; a single value becomes a list of one."""
    if not isinstance(ui, Mapping):
        ui = ui.as_dict() if hasattr(ui, "as_dict") else {"text": [str(ui)]}
    return {
        str(key): [
            plain_json(item, owner, str(key)) for item in (value if isinstance(value, (list, tuple)) else [value])
        ]
        for key, value in ui.items()
    }
