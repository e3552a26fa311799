"""What the executor asks of the worker loop. Plain data; the loop carries them out and reports back as events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.core.errors import AtelierError
from engine.core.ids import Address, JobId, NodeId
from engine.graph.graph import GraphNode
from engine.graph.schema import NodeSpec

__all__ = [
    "AskLazy",
    "DropArtifact",
    "FinishJob",
    "Instruction",
    "InterruptNode",
    "LoadArtifact",
    "NodePlace",
    "Report",
    "RunNode",
    "StoreArtifact",
]


class Instruction:
    """Base of all instructions."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class NodePlace:
    """How a (possibly generated) node is shown: itself, what to display, who made it, and its top-level origin."""

    node: NodeId
    display: NodeId
    parent: NodeId | None
    real: NodeId


@dataclass(frozen=True, slots=True)
class RunNode(Instruction):
    """Call the node once per entry of `calls` (keyword arguments), then report CallsReturned or NodeRaised.

    With `spec.is_input_list` there is one call whose arguments are lists. Hidden inputs are already among the
    arguments, except DYNPROMPT. Values are shared and must not be modified. Calls that a blocker stops are left out:
    `indices` gives the list index of each call, `num_calls` the length of the whole list.
    """

    job: JobId
    place: NodePlace
    node: GraphNode
    spec: NodeSpec
    calls: tuple[Mapping[str, Any], ...]
    address: Address
    indices: tuple[int, ...] = (0,)
    num_calls: int = 1


@dataclass(frozen=True, slots=True)
class AskLazy(Instruction):
    """Call the node's lazy check once per entry of `calls` (missing inputs are None); report LazyAnswered."""

    job: JobId
    place: NodePlace
    node: GraphNode
    spec: NodeSpec
    calls: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class LoadArtifact(Instruction):
    """Read a value back from disk; report ArtifactLoaded or ArtifactUnavailable."""

    address: Address


@dataclass(frozen=True, slots=True)
class StoreArtifact(Instruction):
    """Write a finished value to disk if it can be serialised (the loop decides); report ArtifactStored when it is.

    `cost_s` is what making it took: worth keeping with the file, for the index of the next start.
    """

    address: Address
    outputs: tuple[list[Any], ...]
    ui: Mapping[str, list[Any]] | None
    cost_s: float = 0.0


@dataclass(frozen=True, slots=True)
class DropArtifact(Instruction):
    """Forget a stored value (evicted from disk)."""

    address: Address


@dataclass(frozen=True, slots=True)
class InterruptNode(Instruction):
    """Ask a running node to stop at its next check."""

    job: JobId
    node: NodeId


@dataclass(frozen=True, slots=True)
class Report(Instruction):
    """Tell the outside: an entry of the job's event log.

    Kinds: `nodes_cached` {nodes}, `node_started` {node, display, parent, real}, `node_finished` {… , ui, cached},
    `node_blocked` {…, message}, `node_expanded` {…, nodes}; … stands for the members of node_started.
    """

    job: JobId
    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FinishJob(Instruction):
    """The job ended and none of its nodes runs any more. `outcome` is "succeeded", "failed" or "cancelled".

    `error` is set when it failed. `ran` lists the nodes that were started (generated ones too), in order; `cached` the
    nodes of the graph whose results were there already, and those served while the job ran. `reasons` says per node
    that ran why it was not cached (graph.fingerprint.explain). `outputs` holds the UI output per node.
    """

    job: JobId
    outcome: str
    error: AtelierError | None = None
    ran: tuple[NodeId, ...] = ()
    cached: tuple[NodeId, ...] = ()
    reasons: Mapping[NodeId, Mapping[str, Any]] = field(default_factory=dict)
    outputs: Mapping[NodeId, Mapping[str, list[Any]]] = field(default_factory=dict)
