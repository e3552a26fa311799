"""What happened and why: the transitions of a job's nodes, the reasons they ran, and the events to replay it all."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from engine.core.ids import Address, JobId, NodeId
from engine.execution.events import Event
from engine.execution.instructions import Instruction
from engine.execution.node_run import NodeState
from engine.graph.fingerprint import Signature, explain, signature
from engine.graph.graph import GraphNode
from engine.graph.schema import NodeSpec

__all__ = ["EventLog", "Handler", "SignatureTable", "Story", "Transition", "replay"]


class Transition(NamedTuple):
    """A node went from one state to another. `step` counts the events the executor had handled."""

    step: int
    node: NodeId
    start: NodeState
    finish: NodeState


class Story:
    """The log of one job. `reasons` says per node that ran why (see `graph.fingerprint.explain`)."""

    def __init__(self, job: JobId) -> None:
        self.job = job
        self.transitions: list[Transition] = []
        self.reasons: dict[NodeId, Mapping[str, Any]] = {}
        self.outcome = ""

    def of(self, *nodes: NodeId) -> list[Transition]:
        """The transitions of these nodes, in order."""
        return [entry for entry in self.transitions if entry.node in nodes]

    def path(self, node: NodeId) -> list[str]:
        """The states a node went through, by name."""
        own = self.of(node)
        return [own[0].start.value, *(entry.finish.value for entry in own)] if own else []

    def __str__(self) -> str:
        lines = [f"{step:6} {node}: {start.value} → {finish.value}" for step, node, start, finish in self.transitions]
        return "\n".join([f"job {self.job} {self.outcome}", *lines])


class SignatureTable:
    """The last signature seen per node id and type, bounded; what "why did this node run" compares with."""

    def __init__(self, max_entries: int = 20_000) -> None:
        self.max_entries = max_entries
        self._known: OrderedDict[tuple[NodeId, str], Signature] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def explain(
        self, node: GraphNode, spec: NodeSpec, addresses: Mapping[NodeId, Address], fingerprints: Mapping[NodeId, Any]
    ) -> tuple[Signature, dict[str, Any]]:
        """The node's signature now, and why it runs."""
        now = signature(node, spec, addresses, fingerprints)
        return now, explain(self._known.get((node.id, node.type)), now)

    def address(self, node: GraphNode) -> Address | None:
        """The address the node had when it was last seen."""
        known = self._known.get((node.id, node.type))
        return known.address if known is not None else None

    def remember(self, node: GraphNode, seen: Signature) -> None:
        """Take this as the last signature of the node."""
        key = (node.id, node.type)
        self._known[key] = seen
        self._known.move_to_end(key)
        if len(self._known) > self.max_entries:
            self._known.popitem(last=False)


class EventLog:
    """The events an executor handled, newest `max_events`; holds their values, so it is for debugging only."""

    def __init__(self, max_events: int = 100_000) -> None:
        self._events: deque[Event] = deque(maxlen=max_events)
        self.num_forgotten = 0

    def add(self, event: Event) -> None:
        """Note an event before it is handled."""
        if len(self._events) == self._events.maxlen:
            self.num_forgotten += 1
        self._events.append(event)

    def events(self) -> list[Event]:
        """The events in order."""
        return list(self._events)


class Handler(Protocol):
    """What events can be replayed on: an Executor."""

    def handle(self, event: Event) -> list[Instruction]:
        """Take an event, give instructions."""
        ...


def replay(events: Iterable[Event], executor: Handler) -> list[list[Instruction]]:
    """Feed logged events to a fresh executor; the instructions per event are those of the first time."""
    return [executor.handle(event) for event in events]
