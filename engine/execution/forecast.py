"""What a graph would do if it ran now: which values are there already, which nodes would run, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.core.ids import NodeId
from engine.execution.desk import Desk
from engine.execution.node_run import split_links
from engine.graph.fingerprint import addresses
from engine.graph.graph import Graph
from engine.graph.schema import NodeSpec
from engine.graph.topology import partial_order

__all__ = ["Forecast", "forecast"]


@dataclass(frozen=True, slots=True)
class Forecast:
    """`cached`: nodes whose values are there, or being made by a running job. `runs`: nodes that would run, each with
    the reason (see graph.fingerprint.explain), sources first.

    Nodes of branches that a lazy check may leave out count as running; nodes that others generate are not known.
    """

    cached: tuple[NodeId, ...]
    runs: Mapping[NodeId, Mapping[str, Any]]


def forecast(
    graph: Graph,
    specs: Mapping[str, NodeSpec],
    targets: Iterable[NodeId],
    fingerprints: Mapping[NodeId, Any],
    desk: Desk,
) -> Forecast:
    """Follow the demand of the targets as a job would, and start nothing. Linear in the graph."""
    found = addresses(graph, specs, fingerprints)
    cache, table = desk.cache, desk.signatures
    cached: dict[NodeId, None] = {}
    runs: dict[NodeId, Mapping[str, Any]] = {}
    waiting = [node for node in targets if node in graph]
    while waiting:
        node_id = waiting.pop()
        if node_id in cached or node_id in runs:
            continue
        node = graph[node_id]
        spec = specs.get(node.type)
        if spec is None:
            continue
        if not cache.is_off and (cache.holds(found[node_id]) or found[node_id] in desk.claims):
            cached[node_id] = None
            continue
        runs[node_id] = table.explain(node, spec, found, fingerprints)
        strong, lazy, _ = split_links(node, spec)
        waiting += [link.node for link in (*strong.values(), *lazy.values()) if link.node in graph]
    order = [*partial_order(graph), *graph.nodes]  # what is on a cycle is only in the second
    return Forecast(
        tuple(node for node in graph.nodes if node in cached), {node: runs[node] for node in order if node in runs}
    )
