"""From input lists to calls of a node, and from the calls' results to output lists. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.core.errors import NodeError
from engine.core.ids import NodeId
from engine.execution.events import Blocker, CallResult
from engine.graph.graph import GraphNode, Link
from engine.graph.schema import NodeSpec

__all__ = ["CallPlan", "merge_results", "plan_calls"]

_SILENT = Blocker()


@dataclass(frozen=True, slots=True)
class CallPlan:
    """The calls of a node: arguments and list index of those that happen, and the blockers of those that do not."""

    calls: tuple[Mapping[str, Any], ...]
    indices: tuple[int, ...]
    blockers: tuple[Blocker, ...] = ()
    num_calls: int = 1

    def place(self, results: Sequence[CallResult]) -> list[CallResult]:
        """One result per list index: those of the calls, and silent blockers where a blocker stopped the call."""
        if not self.blockers:
            return list(results)
        placed = [CallResult(blocked=_SILENT)] * self.num_calls
        for index, result in zip(self.indices, results, strict=True):
            placed[index] = result
        return placed


def plan_calls(node: GraphNode, spec: NodeSpec, inputs: Mapping[str, list[Any]]) -> CallPlan:
    """Map a node over its input lists.

    The node is called once per item of the longest list, shorter lists repeat their last item; with
    `spec.is_input_list` it is called once with all lists. Without any item it is called once without arguments.

    Raises NodeError (code empty_list) when an empty list meets one that is not.
    """
    if spec.is_input_list:
        blockers = tuple(value for values in inputs.values() for value in values if type(value) is Blocker)
        if blockers:
            return CallPlan((), (), blockers[:1])
        return CallPlan(({name: list(values) for name, values in inputs.items()},), (0,))
    num_calls = max(map(len, inputs.values()), default=0)
    if num_calls == 0:
        return CallPlan(({},), (0,))
    for name, values in inputs.items():
        if not values:
            raise NodeError(
                f"Input {name!r} received an empty list while other inputs have {num_calls} item(s).",
                code="empty_list",
                hint="Make sure that every list that reaches this node has at least one item.",
                node=node.id,
                input=name,
            )
    if num_calls == 1:
        arguments = {name: values[0] for name, values in inputs.items()}
        blocker = _first_blocker(arguments)
        return CallPlan((arguments,), (0,)) if blocker is None else CallPlan((), (), (blocker,))
    calls, indices, blockers_found = [], [], []
    for index in range(num_calls):
        arguments = {name: values[index] if index < len(values) else values[-1] for name, values in inputs.items()}
        blocker = _first_blocker(arguments)
        if blocker is None:
            calls.append(arguments)
            indices.append(index)
        else:
            blockers_found.append(blocker)
    return CallPlan(tuple(calls), tuple(indices), tuple(blockers_found), num_calls)


def _first_blocker(arguments: Mapping[str, Any]) -> Blocker | None:
    for value in arguments.values():
        if type(value) is Blocker:
            return value
    return None


def merge_results(
    node: NodeId, spec: NodeSpec, results: Sequence[CallResult], fetch: Callable[[Link], list[Any]]
) -> tuple[list[Any], ...]:
    """Per output slot, the values of all calls in order: list slots concatenated, other slots one item per call.

    A slot linked into an expansion gives all values of its source, as `fetch` returns them. A blocked call puts its
    blocker into every slot.

    Raises NodeError (code bad_output) when a list slot holds something that is no list.
    """
    widths = [len(result.values) for result in results if result.blocked is None]
    num_slots = max(widths) if widths else len(spec.outputs)
    outputs = spec.outputs
    if len(results) == 1 and results[0].blocked is None and results[0].expansion is None:
        values = results[0].values
        if not any(output.is_list for output in outputs):
            return tuple([value] for value in values)
    merged: tuple[list[Any], ...] = tuple([] for _ in range(num_slots))
    for result in results:
        for slot, collected in enumerate(merged):
            if result.blocked is not None:
                collected.append(result.blocked)
                continue
            value = result.values[slot] if slot < len(result.values) else None
            if result.expansion is not None and type(value) is Link:
                collected.extend(fetch(value))
            elif slot < len(outputs) and outputs[slot].is_list and type(value) is not Blocker:
                collected.extend(_items(node, outputs[slot].name, value))
            else:
                collected.append(value)
    return merged


def _items(node: NodeId, output: str, value: Any) -> Iterable[Any]:
    if isinstance(value, Iterable):
        return value
    raise NodeError(
        f"Output {output!r} is declared as a list but gave {type(value).__name__}.",
        code="bad_output",
        hint="Return a list for this output.",
        node=node,
    )
