"""Order, reach and cycles of a graph. Every walk is iterative and linear in nodes plus links.

A link whose source is not in the graph is no edge here; `validate` reports it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from engine.core.errors import GraphError
from engine.core.ids import NodeId
from engine.graph.graph import Graph, Link

__all__ = ["ancestors", "cycle_error", "find_cycles", "partial_order", "sources", "topological_order"]

_SHOWN_CYCLE_NODES = 8


def sources(graph: Graph, node: NodeId) -> list[NodeId]:
    """The nodes that `node` is linked from, in input order, as often as they are linked; dangling links left out."""
    nodes = graph.nodes
    return [value.node for value in nodes[node].inputs.values() if type(value) is Link and value.node in nodes]


def ancestors(graph: Graph, targets: Iterable[NodeId]) -> set[NodeId]:
    """`targets` and everything they depend on. Targets that are not in the graph are left out."""
    nodes = graph.nodes
    waiting = [target for target in targets if target in nodes]
    reached = set(waiting)
    while waiting:
        for value in nodes[waiting.pop()].inputs.values():
            if type(value) is Link and value.node not in reached and value.node in nodes:
                reached.add(value.node)
                waiting.append(value.node)
    return reached


def topological_order(graph: Graph, within: Collection[NodeId] | None = None) -> list[NodeId]:
    """Node ids, every source before its consumers; file order where that already holds.

    Args:
        graph: the graph to order.
        within: only these nodes and the links among them; all when None.

    Raises GraphError (code "cycle") naming the nodes of a cycle.
    """
    order, members = _kahn(graph, within)
    if len(order) < len(members):
        raise cycle_error(find_cycles(graph, within)[0])
    return order


def partial_order(graph: Graph, within: Collection[NodeId] | None = None) -> list[NodeId]:
    """The nodes that are neither on a cycle nor below one, every source before its consumers."""
    return _kahn(graph, within)[0]


def cycle_error(cycle: tuple[NodeId, ...]) -> GraphError:
    """The error for one cycle, given as `find_cycles` returns it."""
    shown = " → ".join(cycle[:_SHOWN_CYCLE_NODES])
    rest = len(cycle) - _SHOWN_CYCLE_NODES
    end = f" → … ({rest} more) → {cycle[0]}" if rest > 0 else f" → {cycle[0]}"
    return GraphError(
        f"Nodes feed themselves in a cycle: {shown}{end}.",
        code="cycle",
        hint="Remove one of the links between these nodes.",
        node=cycle[0],
        details={"nodes": list(cycle)},
    )


def find_cycles(graph: Graph, within: Collection[NodeId] | None = None) -> list[tuple[NodeId, ...]]:
    """One cycle out of every set of nodes that can all reach each other; [] when the graph is acyclic.

    A cycle is listed in the direction values flow: each node feeds the next one, and the last one the first.
    """
    order, members = _kahn(graph, within)
    rest = set(members).difference(order)
    if not rest:
        return []
    cycles = []
    for component in _components(graph, rest):
        inside = set(component)
        if len(component) > 1 or component[0] in sources(graph, component[0]):
            cycles.append(_cycle_in(graph, component[0], inside))
    return cycles


def _kahn(graph: Graph, within: Collection[NodeId] | None) -> tuple[list[NodeId], Collection[NodeId]]:
    """Kahn's algorithm: the nodes not on or below a cycle in order, and all nodes considered."""
    nodes = graph.nodes
    members: Collection[NodeId] = nodes if within is None else {node for node in within if node in nodes}
    missing: dict[NodeId, int] = {}
    consumers: dict[NodeId, list[NodeId]] = {}
    order: list[NodeId] = []
    done: set[NodeId] = set()
    for node, record in nodes.items():
        if node not in members:
            continue
        count = 0
        for value in record.inputs.values():
            if type(value) is Link and value.node not in done and value.node in members:
                count += 1
                consumers.setdefault(value.node, []).append(node)
        if count:
            missing[node] = count
            continue
        # Files mostly list sources first, so most nodes are placed right here.
        order.append(node)
        done.add(node)
    for node in order:
        if node in consumers:
            for consumer in consumers[node]:
                missing[consumer] -= 1
                if not missing[consumer]:
                    order.append(consumer)
    return order, members


def _components(graph: Graph, within: set[NodeId]) -> list[list[NodeId]]:
    """Strongly connected components of the nodes `within` (Tarjan 1972, with an explicit stack)."""
    index: dict[NodeId, int] = {}
    low: dict[NodeId, int] = {}
    open_nodes: list[NodeId] = []
    is_open: set[NodeId] = set()
    found: list[list[NodeId]] = []
    for root in graph.nodes:
        if root not in within or root in index:
            continue
        index[root] = low[root] = len(index)
        open_nodes.append(root)
        is_open.add(root)
        stack = [(root, iter([s for s in sources(graph, root) if s in within]))]
        while stack:
            node, rest = stack[-1]
            for source in rest:
                if source not in index:
                    index[source] = low[source] = len(index)
                    open_nodes.append(source)
                    is_open.add(source)
                    stack.append((source, iter([s for s in sources(graph, source) if s in within])))
                    break
                if source in is_open:
                    low[node] = min(low[node], index[source])
            else:
                stack.pop()
                if stack:
                    low[stack[-1][0]] = min(low[stack[-1][0]], low[node])
                if low[node] == index[node]:
                    found.append(_close(open_nodes, is_open, node))
    return found


def _close(open_nodes: list[NodeId], is_open: set[NodeId], root: NodeId) -> list[NodeId]:
    component = []
    while True:
        node = open_nodes.pop()
        is_open.discard(node)
        component.append(node)
        if node == root:
            return component


def _cycle_in(graph: Graph, start: NodeId, component: set[NodeId]) -> tuple[NodeId, ...]:
    """Walk upstream inside a strongly connected component until a node repeats; the walk from there is a cycle."""
    position: dict[NodeId, int] = {}
    walk: list[NodeId] = []
    node = start
    while node not in position:
        position[node] = len(walk)
        walk.append(node)
        node = next(source for source in sources(graph, node) if source in component)
    return tuple(reversed(walk[position[node] :]))
