"""Taking generated nodes into a running job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from engine.core.errors import NodeError
from engine.core.ids import NodeId
from engine.execution.events import CallResult
from engine.graph.fingerprint import addresses
from engine.graph.graph import Graph, GraphNode, Link

if TYPE_CHECKING:
    from engine.execution.job_run import JobRun
    from engine.execution.node_run import NodeRun

__all__ = ["adopt", "nodes_downstream"]


def nodes_downstream(nodes: Mapping[NodeId, GraphNode], seeds: Iterable[NodeId]) -> set[NodeId]:
    """`seeds` and every node of `nodes` that depends on one of them."""
    reached = set(seeds)
    if not reached:
        return reached
    consumers: dict[NodeId, list[NodeId]] = {}
    for node in nodes.values():
        for _, link in node.links():
            consumers.setdefault(link.node, []).append(node.id)
    waiting = list(reached)
    while waiting:
        for consumer in consumers.get(waiting.pop(), ()):
            if consumer not in reached:
                reached.add(consumer)
                waiting.append(consumer)
    return reached


def adopt(job: JobRun, parent: NodeRun, results: Sequence[CallResult]) -> tuple[list[NodeId], list[NodeId]]:
    """Add the nodes of all expansions among `results` to the job; return them, and those that `parent` waits for.

    It waits for the sources of its results and for every generated output node.

    Raises NodeError: duplicate_node when an id is taken, missing_node when a result links to a node that is not there.
    """
    fresh = _collect(job, parent, results)
    once_before = len(job.once)
    found = addresses(
        Graph(fresh), job.specs, job.fingerprints, known=job.addresses, once=job.once_address
    )  # fmt: skip
    if once_before or len(job.once) > once_before:
        seeds = {
            node.id for node in fresh.values()
            if node.id in job.once or any(link.node in job.once for _, link in node.links())
        }  # fmt: skip
        job.once |= nodes_downstream(fresh, seeds)
    position = len(job.positions)
    for offset, node in enumerate(fresh):
        job.positions[node] = position + offset
    job.nodes.update(fresh)
    job.addresses.update(found)
    job.keep_generated(parent, found.values())
    needed = [node for node in fresh if job.run_of(node).spec.is_output_node]
    for result in results:
        if result.expansion is None:
            continue
        for value in result.values:
            if type(value) is Link:
                if value.node not in job.nodes:
                    raise NodeError(
                        f"The expansion of {parent.node.type} gives an output of node {value.node!r}, "
                        "which does not exist.",
                        code="missing_node",
                        node=parent.id,
                    )
                needed.append(value.node)
    return list(fresh), list(dict.fromkeys(needed))


def _collect(job: JobRun, parent: NodeRun, results: Sequence[CallResult]) -> dict[NodeId, GraphNode]:
    fresh: dict[NodeId, GraphNode] = {}
    for result in results:
        expansion = result.expansion
        if expansion is None:
            continue
        for node_id, node in expansion.nodes.nodes.items():
            if node_id in job.nodes or node_id in fresh:
                raise NodeError(
                    f"The expansion of {parent.node.type} makes a node {node_id!r}, but that id is taken.",
                    code="duplicate_node",
                    hint="Give generated nodes ids that start with the id of the node that makes them.",
                    node=parent.id,
                )
            fresh[node_id] = node
            job.parents[node_id] = (parent, expansion.display.get(node_id, parent.place.display))
        for name, spec in expansion.specs.items():
            job.specs.setdefault(name, spec)
        job.fingerprints.update(expansion.fingerprints)
    return fresh
