"""A forecast says what a job would do, and changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.core.ids import NodeId
from engine.execution.forecast import Forecast
from engine.graph.graph import Graph
from tests.execution.node_kit import SPECS, CheckedLoop, arrived, checked_loop, executor_with, graph_of


def numbers(first: int = 1, second: int = 2) -> Graph:
    return graph_of(
        a=("Const", {"value": first}), b=("Const", {"value": second}), c=("Add", {"a": "a", "b": "b"}),
        t=("Tick", {"value": 3}), s=("Save", {"v": "c"}), u=("Save", {"v": "t"}), unused=("Const", {"value": 9}),
    )  # fmt: skip


def foretold(loop: CheckedLoop, graph: Graph, *targets: str) -> Forecast:
    event = arrived("unused", graph, *targets)
    return loop.executor.forecast(graph, SPECS, event.targets, {})


def why(reasons: Mapping[NodeId, Mapping[str, Any]]) -> dict[NodeId, tuple[str, list[str]]]:
    """Which reason, and which inputs differ: the addresses of what never repeats are others each time."""
    return {node: (why["reason"], [item["input"] for item in why.get("inputs", ())]) for node, why in reasons.items()}


def test_what_is_foretold_is_what_runs_and_why() -> None:
    loop = checked_loop()
    graphs = (numbers(), numbers(), numbers(second=5), numbers(first=7, second=5))
    for index, graph in enumerate(graphs):
        before = why(foretold(loop, graph).runs)
        assert why(foretold(loop, graph).runs) == before
        finished = loop.finish(f"j{index}", graph)
        assert set(before) == set(finished.ran)
        assert before == why(finished.reasons)


def test_only_what_the_targets_need_is_looked_at_and_sources_come_first() -> None:
    loop = checked_loop()
    assert list(foretold(loop, numbers(), "s").runs) == ["a", "b", "c", "s"]
    loop.finish("j", numbers())
    later = foretold(loop, numbers(second=4), "s")
    assert (later.cached, list(later.runs)) == (("a",), ["b", "c", "s"])
    assert foretold(loop, numbers(), "s").cached == ("s",)


def test_a_value_that_is_being_made_counts_as_there_and_nothing_does_without_a_cache() -> None:
    loop = checked_loop()
    loop.feed(arrived("j", numbers(), "s"))
    assert NodeId("a") not in foretold(loop, numbers(), "s").runs
    off = checked_loop(executor_with("none"))
    off.finish("j", numbers(), "s")
    assert list(foretold(off, numbers(), "s").runs) == ["a", "b", "c", "s"]
