"""The state of one node of one running job."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.core.ids import Address, NodeId
from engine.execution.artifact_cache import Artifact
from engine.execution.calls import CallPlan
from engine.execution.events import CallResult
from engine.execution.instructions import NodePlace
from engine.graph.graph import GraphNode, Link
from engine.graph.schema import NodeSpec

__all__ = ["NEAR_OUTPUT", "NodeRun", "NodeState", "split_links"]

NEAR_OUTPUT = 3
"""Links between a node and an output node from which on the distance no longer matters for the order."""


class NodeState(str, enum.Enum):
    """Where a node stands.

    ::

        IDLE ──▶ DONE                        its value is in memory
             ──▶ LOADING ──▶ DONE            its value is on disk (unreadable: back to IDLE)
             ──▶ JOINING ──▶ DONE            an equal node is at work (it fails: back to IDLE)
             ──▶ WAITING ──▶ READY           its inputs are being made; all of them are there
        READY ──▶ DONE                       meanwhile served from the cache, or blocked
              ──▶ ASKING ──▶ WAITING, READY  its lazy check names inputs it wants, or none
              ──▶ RUNNING ──▶ DONE
                          ──▶ EXPANDED ──▶ DONE  the nodes it generated are at work
        DONE ──▶ RELEASED                    no consumer needs the value any more; may start over like IDLE
    """

    IDLE = "idle"
    WAITING = "waiting"
    READY = "ready"
    LOADING = "loading"
    JOINING = "joining"
    ASKING = "asking"
    RUNNING = "running"
    EXPANDED = "expanded"
    DONE = "done"
    RELEASED = "released"

    @property
    def is_startable(self) -> bool:
        """Whether the node is not at work and has no value."""
        return self is NodeState.IDLE or self is NodeState.RELEASED


@dataclass(slots=True, eq=False)
class NodeRun:
    """One node of a running job.

    `position` orders equal candidates; `is_once`: its address occurs once, nothing can be served to a later job.
    `is_kept`: running it twice in a job would show (another value, a second file, generated ids taken already), so its
    value stays until the job ends.
    `strong` links are needed before it starts, `lazy` ones when its lazy check says so (`wanted` are those asked for;
    `has_asked`: it wants no more), `raw` ones are passed as they stand.
    """

    node: GraphNode
    spec: NodeSpec
    place: NodePlace
    address: Address
    position: int
    is_once: bool
    is_kept: bool
    parent: NodeRun | None
    strong: Mapping[str, Link]
    lazy: Mapping[str, Link]
    raw: Mapping[str, Link]
    distance: int = NEAR_OUTPUT
    state: NodeState = NodeState.IDLE
    # Sources this node waits for; it stands in the `waiters` of exactly as many nodes.
    missing: int = 0
    waiters: list[NodeRun] = field(default_factory=list)
    # Nodes whose values this one may need before it is done, and how many nodes hold this one like that.
    held: list[NodeRun] = field(default_factory=list)
    holders: int = 0
    # Set exactly while DONE.
    artifact: Artifact | None = None
    wanted: set[str] = field(default_factory=set)
    has_asked: bool = False
    # Set while RUNNING: which calls were asked for.
    plan: CallPlan | None = None
    # Set while EXPANDED: results to be completed by generated nodes.
    results: list[CallResult] | None = None
    ui: Mapping[str, list[Any]] | None = None
    cost_s: float = 0.0

    @property
    def id(self) -> NodeId:
        """The node's id."""
        return self.node.id

    @property
    def priority(self) -> int:
        """Smaller starts first: output nodes and async nodes, then by distance to an output node."""
        return 0 if self.spec.is_async else self.distance

    def place_data(self) -> dict[str, Any]:
        """Who it is, as reports say it."""
        place = self.place
        return {"node": place.node, "display": place.display, "parent": place.parent, "real": place.real}


def split_links(node: GraphNode, spec: NodeSpec) -> tuple[dict[str, Link], dict[str, Link], dict[str, Link]]:
    """The linked inputs as (strong, lazy, raw). Links into hidden inputs are none: the engine's value replaces them."""
    strong: dict[str, Link] = {}
    lazy: dict[str, Link] = {}
    raw: dict[str, Link] = {}
    for name, value in node.inputs.items():
        if type(value) is not Link:
            continue
        item = spec.input_named(name)
        if item is None:
            strong[name] = value
        elif item.presence == "hidden":
            continue
        elif item.options.get("rawLink"):
            raw[name] = value
        elif item.options.get("lazy"):
            lazy[name] = value
        else:
            strong[name] = value
    return strong, lazy, raw
