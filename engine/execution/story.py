"""What happened and why: the transitions of a job's nodes, the reasons they ran, and the events to replay it all."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from engine.core.ids import Address, JobId, NodeId
from engine.execution.events import Event
from engine.execution.instructions import Instruction
from engine.execution.node_run import NodeState
from engine.graph.fingerprint import Signature, explain, signature
from engine.graph.graph import GraphNode, Link
from engine.graph.schema import NodeSpec

__all__ = ["EventLog", "Handler", "SignatureTable", "Story", "Transition", "replay"]

_FIRST_RUN = MappingProxyType({"reason": "first_run"})
_SMALL_KINDS = frozenset({int, float, bool, str, type(None)})
_SMALL_CHARACTERS = 1000


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
        # States by name: the garbage collector need not look at tuples of numbers and strings.
        self._entries: list[tuple[int, NodeId, str, str]] = []
        self.reasons: dict[NodeId, Mapping[str, Any]] = {}
        self.outcome = ""

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, step: int, node: NodeId, start: NodeState, finish: NodeState) -> None:
        """Note a transition."""
        self._entries.append((step, node, start._value_, finish._value_))

    @property
    def transitions(self) -> list[Transition]:
        """Everything that happened, in order."""
        return [Transition(step, node, NodeState(a), NodeState(b)) for step, node, a, b in self._entries]

    def of(self, *nodes: NodeId) -> list[Transition]:
        """The transitions of these nodes, in order."""
        return [entry for entry in self.transitions if entry.node in nodes]

    def path(self, node: NodeId) -> list[str]:
        """The states a node went through, by name."""
        own = self.of(node)
        return [own[0].start.value, *(entry.finish.value for entry in own)] if own else []

    def __str__(self) -> str:
        lines = [f"{step:6} {node}: {start} → {finish}" for step, node, start, finish in self._entries]
        return "\n".join([f"job {self.job} {self.outcome}", *lines])


class _Seen(NamedTuple):
    """What a signature is made of, kept until somebody asks; most nodes never run a second time."""

    node: GraphNode
    spec: NodeSpec
    addresses: dict[NodeId, Address]
    fingerprints: dict[NodeId, Any]

    def signature(self) -> Signature:
        return signature(self.node, self.spec, self.addresses, self.fingerprints)


class SignatureTable:
    """The last signature seen per node id and type, bounded; what "why did this node run" compares with."""

    def __init__(self, max_entries: int = 20_000) -> None:
        self.max_entries = max_entries
        self._known: OrderedDict[tuple[NodeId, str], Signature | _Seen] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def explain(
        self, node: GraphNode, spec: NodeSpec, addresses: Mapping[NodeId, Address], fingerprints: Mapping[NodeId, Any]
    ) -> Mapping[str, Any]:
        """Why the node runs."""
        known = self._known.get((node.id, node.type))
        if known is None and not spec.is_volatile and node.id not in fingerprints and not spec.has_file_choices:
            return _FIRST_RUN
        old = known.signature() if isinstance(known, _Seen) else known
        return explain(old, signature(node, spec, addresses, fingerprints))

    def address(self, node: GraphNode) -> Address | None:
        """The address the node had when it was last seen."""
        known = self._known.get((node.id, node.type))
        if isinstance(known, _Seen):
            return known.addresses[node.id]
        return known.address if known is not None else None

    def remember(
        self, node: GraphNode, spec: NodeSpec, addresses: Mapping[NodeId, Address], fingerprints: Mapping[NodeId, Any]
    ) -> None:
        """Take this as the last signature of the node. Large constants and objects are not held."""
        own = {node.id: addresses[node.id]}
        is_small = True
        for value in node.inputs.values():
            kind = type(value)
            if kind is Link:
                if value.node in addresses:
                    own[value.node] = addresses[value.node]
            elif kind not in _SMALL_KINDS or (isinstance(value, str) and len(value) > _SMALL_CHARACTERS):
                is_small = False
        outside = {node.id: fingerprints[node.id]} if node.id in fingerprints else {}
        seen = _Seen(node, spec, own, outside)
        key = (node.id, node.type)
        self._known[key] = seen if is_small else seen.signature()
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
