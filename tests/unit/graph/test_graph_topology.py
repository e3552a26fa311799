"""Order, reach and cycles."""

from __future__ import annotations

from itertools import pairwise

import pytest

from engine.core.errors import GraphError
from engine.graph.graph import Graph, GraphNode, Link
from engine.graph.topology import ancestors, find_cycles, partial_order, sources, topological_order


def graph_of(**edges: str) -> Graph:
    """graph_of(a="", b="a", c="ab"): node c is linked from a and b."""
    return Graph(
        {
            name: GraphNode(name, "T", {f"in{i}": Link(source, 0) for i, source in enumerate(given)})
            for name, given in edges.items()
        }
    )


def test_sources_come_before_their_consumers_whatever_the_file_order() -> None:
    assert topological_order(graph_of(d="bc", c="a", b="a", a="")) == ["a", "c", "b", "d"]


def test_file_order_is_kept_where_it_is_an_order() -> None:
    assert topological_order(graph_of(a="", x="", b="a", c="xb")) == ["a", "x", "b", "c"]


def test_order_within_a_part_ignores_links_from_outside() -> None:
    assert topological_order(graph_of(a="", b="a", c="b"), {"c", "b"}) == ["b", "c"]


def test_ancestors_include_the_targets_and_nothing_else() -> None:
    graph = graph_of(a="", b="a", c="b", d="c", e="a")
    assert ancestors(graph, ["c"]) == {"a", "b", "c"}
    assert ancestors(graph, ["c", "missing"]) == {"a", "b", "c"}
    assert ancestors(graph, []) == set()


def test_a_dangling_link_is_no_edge() -> None:
    graph = graph_of(a="z")
    assert sources(graph, "a") == []
    assert topological_order(graph) == ["a"]


def test_a_cycle_is_raised_with_its_nodes_in_flow_order() -> None:
    with pytest.raises(GraphError) as caught:
        topological_order(graph_of(a="c", b="a", c="b", d="c", e=""))
    assert caught.value.code == "cycle"
    nodes = caught.value.details["nodes"]
    turn = nodes.index("a")
    assert nodes[turn:] + nodes[:turn] == ["a", "b", "c"]
    assert "→" in caught.value.message


def test_a_node_linked_to_itself_is_a_cycle_of_one() -> None:
    assert find_cycles(graph_of(a="a", b="a")) == [("a",)]


def test_separate_cycles_are_each_named_once() -> None:
    cycles = find_cycles(graph_of(a="b", b="a", c="d", d="c", e="ac"))
    assert sorted(sorted(cycle) for cycle in cycles) == [["a", "b"], ["c", "d"]]


def test_nodes_below_a_cycle_are_left_out_of_the_partial_order() -> None:
    assert partial_order(graph_of(a="b", b="a", c="a", d="", e="d")) == ["d", "e"]


@pytest.mark.parametrize("length", [2, 3, 10, 1000, 10_000])
def test_cycles_of_every_length_are_found_whole(length: int) -> None:
    nodes = {str(i): GraphNode(str(i), "T", {"in": Link(str((i - 1) % length), 0)}) for i in range(length)}
    (cycle,) = find_cycles(Graph(nodes))
    assert set(cycle) == set(nodes)
    assert all((int(a) + 1) % length == int(b) for a, b in pairwise(cycle))


def test_a_chain_and_a_fan_of_ten_thousand_nodes_are_ordered() -> None:
    chain = {str(i): GraphNode(str(i), "T", {"in": Link(str(i + 1), 0)}) for i in range(10_000)}
    assert topological_order(Graph(chain))[-1] == "0"
    assert len(ancestors(Graph(chain), ["0"])) == 10_000
    fan = {"hub": GraphNode("hub", "T", {f"in{i}": Link(str(i), 0) for i in range(10_000)})}
    fan |= {str(i): GraphNode(str(i), "T") for i in range(10_000)}
    assert topological_order(Graph(fan))[-1] == "hub"
