"""How long a node will take is told by the nearest setting that ran."""

from __future__ import annotations

from engine.core.ids import NodeId
from engine.graph.graph import GraphNode, Link
from engine.worker.node_times import NodeTimes


def sampler(node: str = "3", **inputs) -> GraphNode:
    return GraphNode(NodeId(node), "KSampler", {"model": Link(NodeId("1"), 0), "steps": 20, "cfg": 4.0, **inputs})


def test_an_unknown_type_has_no_expected_time_and_a_known_one_that_of_its_nearest_setting() -> None:
    times = NodeTimes()
    assert times.expected(sampler()) is None
    times.remember(sampler(cfg=7.0), 8.0)
    times.remember(sampler(), 4.0)
    assert times.expected(sampler(seed=5)) == 4.0
    assert times.expected(sampler(cfg=7.0)) == 8.0
    assert times.expected(sampler("9", cfg=1.0)) == 4.0


def test_time_grows_with_the_steps() -> None:
    times = NodeTimes()
    times.remember(sampler(), 4.0)
    assert times.expected(sampler(steps=30)) == 6.0


def test_old_times_are_forgotten() -> None:
    times = NodeTimes(max_entries=4)
    times.remember(GraphNode(NodeId("1"), "Old", {}), 1.0)
    times.remember(GraphNode(NodeId("2"), "New", {}), 2.0)
    assert times.expected(GraphNode(NodeId("1"), "Old", {})) is None
