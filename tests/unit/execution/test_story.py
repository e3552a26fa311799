"""The story of a job, the table of signatures, the event log, and the invariants."""

from __future__ import annotations

import pytest

from engine.core.errors import NotFoundError
from engine.core.ids import Address, JobId, NodeId
from engine.execution.events import CallResult, CallsReturned
from engine.execution.executor import Executor
from engine.execution.story import EventLog, SignatureTable, replay
from engine.graph.graph import GraphNode
from tests.execution.node_kit import SPECS, arrived, checked_loop, executor_with, graph_of

GRAPH = graph_of(a=("Const", {"value": 1}), b=("Add", {"a": "a", "b": 2}), s=("Save", {"v": "b"}))


def test_the_story_lists_the_states_of_a_node() -> None:
    loop = checked_loop()
    loop.finish("j", GRAPH)
    story = loop.executor.story(JobId("j"))
    assert story.path(NodeId("b")) == ["idle", "waiting", "ready", "running", "done", "released"]
    assert [entry.step for entry in story.of(NodeId("a"))] == [1, 1, 1, 2, 3]
    assert str(story).splitlines()[:2] == ["job j succeeded", "     1 s: idle → waiting"]


def test_old_stories_are_forgotten() -> None:
    loop = checked_loop()
    for number in range(40):
        loop.finish(f"j{number}", GRAPH)
    assert loop.executor.story(JobId("j39")).outcome == "succeeded"
    with pytest.raises(NotFoundError):
        loop.executor.story(JobId("j0"))


def test_a_log_replays_to_the_same_instructions() -> None:
    log = EventLog()
    loop = checked_loop(Executor(executor_with().cache, {"cpu": 1}, log=log))
    loop.finish("j", GRAPH)
    again = replay(log.events(), executor_with())
    assert [i for batch in again for i in batch] == loop.instructions


def test_a_full_log_keeps_the_newest_events() -> None:
    log = EventLog(max_events=2)
    loop = checked_loop(Executor(executor_with().cache, {"cpu": 1}, log=log))
    loop.finish("j", GRAPH)
    assert [getattr(event, "node", "") for event in log.events()] == ["b", "s"]
    assert log.num_forgotten == 2


def test_the_signature_table_is_bounded() -> None:
    table = SignatureTable(max_entries=3)
    for number in range(5):
        node = GraphNode(NodeId(str(number)), "Const", {"value": 1})
        addresses = {node.id: Address("x")}
        table.explain(node, SPECS["Const"], addresses, {})
        table.remember(node, SPECS["Const"], addresses, {})
    assert len(table) == 3
    assert table.address(GraphNode(NodeId("0"), "Const")) is None
    assert table.address(GraphNode(NodeId("4"), "Const")) == "x"


def test_a_broken_invariant_is_named() -> None:
    executor = executor_with()
    executor.handle(arrived("j", GRAPH))
    executor._jobs[JobId("j")].runs[NodeId("b")].missing = 0
    with pytest.raises(AssertionError, match="missing counts open sources: broken at j, b"):
        executor.validate_state()


def test_the_live_graph_holds_generated_nodes() -> None:
    executor = executor_with()
    executor.handle(arrived("j", graph_of(g=("Grow", {"v": 1, "depth": 1}), s=("Save", {"v": "g"}))))
    assert set(executor.nodes_of(JobId("j")).nodes) == {"g", "s"}
    grown = checked_loop().functions["Grow"](v=[1], depth=[1], uid=["g"])
    executor.handle(CallsReturned(JobId("j"), NodeId("g"), (grown,)))
    assert set(executor.nodes_of(JobId("j")).nodes) == {"g", "s", "g.a", "g.b", "g.s"}
    executor.handle(CallsReturned(JobId("j"), NodeId("g.a"), (CallResult((1,)),)))
    executor.validate_state()
