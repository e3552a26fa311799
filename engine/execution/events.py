"""What may happen to an executor. The worker loop reports these; `Executor.handle` turns them into instructions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.core.errors import AtelierError
from engine.core.ids import Address, JobId, NodeId
from engine.graph.graph import Graph
from engine.graph.schema import NodeSpec

__all__ = [
    "ArtifactLoaded",
    "ArtifactStored",
    "ArtifactUnavailable",
    "Blocker",
    "CallResult",
    "CallsReturned",
    "CancelRequested",
    "Event",
    "Expansion",
    "JobArrived",
    "LazyAnswered",
    "MemoryFreed",
    "NodeRaised",
]


@dataclass(frozen=True, slots=True)
class Blocker:
    """A value that stops every node it reaches. `message` None blocks silently, text is shown once as a warning."""

    message: str | None = None


@dataclass(frozen=True, slots=True)
class Expansion:
    """New nodes a call asks for, and which of their outputs (or constants) are the call's results.

    Links may lead to the new nodes and to any node of the job. `fingerprints` as in `JobArrived`, for the new nodes.
    `display` maps new node ids to the node shown instead. `specs` holds the types that the job's own specs lack.
    """

    nodes: Graph
    specs: Mapping[str, NodeSpec] = field(default_factory=dict)
    fingerprints: Mapping[NodeId, Any] = field(default_factory=dict)
    display: Mapping[NodeId, NodeId] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallResult:
    """What one call of a node gave: one value per output slot (values or `Link`s into `expansion`), or a blocker.

    A slot declared as list holds a list; `values` is () for nodes without outputs. A slot value may be a `Blocker`.
    """

    values: tuple[Any, ...] = ()
    blocked: Blocker | None = None
    expansion: Expansion | None = None


class Event:
    """Base of all executor events."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class JobArrived(Event):
    """A job to run. `specs` holds every node type of the graph; `targets` the output nodes asked for.

    `fingerprints`: declared outside dependencies per node (file digests, results of change hooks); a node whose entry
    is missing has none. `hidden` are the values of hidden inputs by token (PROMPT, EXTRA_PNGINFO, …) other than
    UNIQUE_ID; DYNPROMPT is filled in by the runner.
    """

    job: JobId
    graph: Graph
    specs: Mapping[str, NodeSpec]
    targets: tuple[NodeId, ...]
    fingerprints: Mapping[NodeId, Any] = field(default_factory=dict)
    hidden: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallsReturned(Event):
    """All calls of a node came back, in call order. `ui` is the merged UI output (key → list) or None.

    `held_bytes`: the memory it held at its peak, as far as is known.
    """

    job: JobId
    node: NodeId
    results: tuple[CallResult, ...]
    ui: Mapping[str, list[Any]] | None = None
    cost_s: float = 0.0
    held_bytes: int = 0


@dataclass(frozen=True, slots=True)
class NodeRaised(Event):
    """A call of the node failed, or was refused. `error.code == "cancelled"` after a cooperative cancel."""

    job: JobId
    node: NodeId
    error: AtelierError


@dataclass(frozen=True, slots=True)
class LazyAnswered(Event):
    """The lazy inputs the node wants now, out of those not yet available; empty means it is ready to run."""

    job: JobId
    node: NodeId
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class ArtifactLoaded(Event):
    """A stored value was read back: `outputs` per slot a list of values, plus the UI output it had.

    `size_bytes` is what it takes on disk.
    """

    address: Address
    outputs: tuple[list[Any], ...]
    ui: Mapping[str, list[Any]] | None
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ArtifactStored(Event):
    """A value asked to be stored (StoreArtifact) is on disk now and takes `size_bytes` there."""

    address: Address
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ArtifactUnavailable(Event):
    """A stored value could not be read back; the node has to run."""

    address: Address


@dataclass(frozen=True, slots=True)
class CancelRequested(Event):
    """The job is to stop; running nodes are interrupted, nothing new starts."""

    job: JobId


@dataclass(frozen=True, slots=True)
class MemoryFreed(Event):
    """Every cached value is to be dropped (running jobs keep what they hold)."""
