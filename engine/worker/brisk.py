"""Which node types are quicker to call than to hand to another thread.

Handing a call to a lane and its result back wakes two threads; joining two strings is over before the first is awake.
Built-in nodes that have shown themselves quick are called where the loop is when all they get is
short text and numbers; the first slow call sends their type back to its lane.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.api import NodeDefinition
from engine.graph.schema import NodeSpec

__all__ = ["BriskNodes"]

_QUICK_S = 0.000_3
_NUM_PROOFS = 3
_BUILT_IN_PACK = "nodes"
_MAX_TEXT_LENGTH = 10_000
_MAX_CALLS = 8


class BriskNodes:
    """Learns from measured calls. Used from the loop thread only."""

    def __init__(self) -> None:
        self._num_quick: dict[str, int] = {}

    def note(self, spec: NodeSpec, cost_s: float) -> None:
        """A node of this type took `cost_s` for all its calls."""
        quick = cost_s < _QUICK_S
        self._num_quick[spec.name] = self._num_quick.get(spec.name, 0) + 1 if quick else 0

    def includes(self, definition: NodeDefinition, calls: Sequence[Mapping[str, Any]]) -> bool:
        """Whether to make these calls on the spot: built in, on the cpu lane, no context, quick of late, small values.

        A node with a context may save, wait or show progress; what a pack's node does tomorrow nobody knows; and what
        is quick on a thumbnail is not on a poster.
        """
        spec = definition.spec
        return (
            self._num_quick.get(spec.name, 0) >= _NUM_PROOFS
            and spec.pack == _BUILT_IN_PACK
            and spec.lane == "cpu"
            and definition.context_parameter is None
            and len(calls) <= _MAX_CALLS
            and all(_is_small(value) for call in calls for value in call.values())
        )


def _is_small(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _MAX_TEXT_LENGTH
    return value is None or isinstance(value, (bool, int, float))
