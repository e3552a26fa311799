"""How long nodes took, to say how long they will take: the newest time of an equal setting, else of the type."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from engine.graph.graph import GraphNode

__all__ = ["NodeTimes"]

_STEPS = "steps"
_SHORT = 64


class NodeTimes:
    """The newest seconds per node and setting, bounded. Used by the loop's thread only.

    Seeds and long texts do not change how long a node takes, so they are no part of a setting.
    """

    def __init__(self, max_entries: int = 4000) -> None:
        self._max_entries = max_entries
        self._seconds: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def remember(self, node: GraphNode, seconds: float) -> None:
        """The node took so long just now."""
        steps = _steps_of(node)
        for key in _keys(node):
            self._seconds[key] = (seconds, steps)
            self._seconds.move_to_end(key)
        while len(self._seconds) > self._max_entries:
            self._seconds.popitem(last=False)

    def expected(self, node: GraphNode) -> float | None:
        """Seconds it will take, told by the nearest setting that ran; None when its type never ran here."""
        for key in _keys(node):
            known = self._seconds.get(key)
            if known is not None:
                seconds, steps = known
                wanted = _steps_of(node)
                return seconds * wanted / steps if steps and wanted else seconds
        return None


def _keys(node: GraphNode) -> tuple[Hashable, ...]:
    """From the nearest to the farthest: this node so set, this node, its type so set, its type."""
    setting = tuple(
        (name, value)
        for name, value in sorted(node.inputs.items())
        if isinstance(value, (bool, int, float, str)) and "seed" not in name and len(str(value)) <= _SHORT
    )
    return (node.id, node.type, setting), (node.id, node.type), (node.type, setting), (node.type,)


def _steps_of(node: GraphNode) -> float:
    """The number of steps it was told to take; 0 when it takes none."""
    steps = node.inputs.get(_STEPS)
    return float(steps) if isinstance(steps, (int, float)) and steps > 0 else 0.0
