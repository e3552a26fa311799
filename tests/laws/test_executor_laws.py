"""Laws of the executor on random graphs, against the naive evaluator."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.core.errors import NodeError
from engine.core.ids import NodeId
from engine.execution.executor import Executor
from engine.execution.instructions import FinishJob
from engine.execution.story import EventLog, replay
from engine.graph.graph import Graph, GraphNode, Link
from tests.execution.node_kit import FUNCTIONS, LAZY_CHECKS, SPECS, CheckedLoop, arrived, checked_loop, executor_with
from tests.laws.naive_evaluator import Evaluation, NaiveEvaluator

LAWS = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
_INNER = ["Const", "Const", "Add", "Add", "Make", "Sum", "Pick", "Pick", "Gate", "Grow", "Pass", "Device", "Fetch"]
_CONSTANTS = {"depth": (1, 3), "n": (1, 3)}


def random_graph(random: Random, num_nodes: int, types: tuple[str, ...] = (), with_empty: bool = False) -> Graph:
    """A DAG whose sinks are saved. `n` (a list's length) is never 0 unless empty lists are wanted."""
    nodes: dict[NodeId, GraphNode] = {}
    for index in range(num_nodes):
        node_type = random.choice([*_INNER, *types])
        inputs: dict[str, Any] = {}
        for item in SPECS[node_type].visible_inputs:
            is_constant = item.name in ("depth", "n", "value") or not nodes or random.random() < 0.3
            if is_constant and not item.is_lazy:
                inputs[item.name] = random_constant(random, item.name, with_empty)
            elif nodes:
                inputs[item.name] = Link(random.choice(list(nodes)), 0)
        nodes[NodeId(str(index))] = GraphNode(NodeId(str(index)), node_type, inputs)
    used = {link.node for node in nodes.values() for _, link in node.links()}
    for node in [n for n in nodes if n not in used]:
        saver = NodeId(f"s{node}")
        nodes[saver] = GraphNode(saver, "Save", {"v": Link(node, 0)})
    order = list(nodes)
    random.shuffle(order)
    return Graph({node: nodes[node] for node in order})


def random_constant(random: Random, name: str, with_empty: bool = False) -> int:
    low, high = _CONSTANTS.get(name, (0, 5))
    return random.randint(0 if with_empty and name == "n" else low, high)


def edited(random: Random, graph: Graph) -> Graph:
    """The graph with up to three constants changed."""
    nodes = dict(graph.nodes)
    for _ in range(random.randint(0, 3)):
        node = nodes[random.choice(list(nodes))]
        constants = [name for name, value in node.inputs.items() if not isinstance(value, Link)]
        if constants:
            name = random.choice(constants)
            nodes[node.id] = GraphNode(node.id, node.type, {**node.inputs, name: random_constant(random, name)})
    return Graph(nodes)


@st.composite
def graphs(draw: Any, *, max_nodes: int = 60, types: tuple[str, ...] = (), with_empty: bool = False) -> Graph:
    num_nodes, seed = draw(st.integers(1, max_nodes)), draw(st.integers(0, 2**32))
    return random_graph(Random(seed), num_nodes, types, with_empty)


@st.composite
def histories(draw: Any) -> list[Graph]:
    """Graphs as someone edits and queues them."""
    random = Random(draw(st.integers(0, 2**32)))
    history = [random_graph(random, draw(st.integers(1, 25)), types=("Tick",))]
    for _ in range(draw(st.integers(1, 4))):
        history.append(edited(random, random.choice(history)))
    return history


def oracle(keeps: bool = True) -> NaiveEvaluator:
    return NaiveEvaluator(SPECS, FUNCTIONS, LAZY_CHECKS, keeps)


def targets_of(graph: Graph) -> tuple[NodeId, ...]:
    return tuple(node for node in graph.nodes if SPECS[graph[node].type].is_output_node)


def shown(finished: FinishJob, graph: Graph) -> dict[NodeId, Any]:
    return {node: ui for node, ui in finished.outputs.items() if node in graph}


def ran_sigs(evaluator: NaiveEvaluator, state: Evaluation, ran: tuple[NodeId, ...]) -> Counter[int]:
    return Counter(evaluator.sig(state, node) for node in ran)


@LAWS
@given(graphs(with_empty=True))
def test_a_cold_run_gives_what_plain_evaluation_gives(graph: Graph) -> None:
    finished = checked_loop().finish("j", graph)
    evaluator = oracle()
    if finished.outcome == "failed":
        with pytest.raises(NodeError) as raised:
            evaluator.run(graph, targets_of(graph))
        assert finished.error.code == raised.value.code
        return
    state = evaluator.run(graph, targets_of(graph))
    assert finished.outputs == state.ui
    assert ran_sigs(evaluator, state, finished.ran) == ran_sigs(evaluator, state, tuple(state.ran))
    assert set(finished.ran).isdisjoint(finished.cached)


@LAWS
@given(graphs(types=("Tick",)))
def test_without_a_cache_every_needed_node_runs_and_gives_the_same(graph: Graph) -> None:
    loop = checked_loop(executor_with("none"))
    finished = loop.finish("j", graph)
    state = oracle(keeps=False).run(graph, targets_of(graph))
    assert finished.outputs == state.ui
    calls = Counter(node for _, node in loop.calls)
    assert calls.keys() == set(state.ran)
    if not any(node.type == "Pick" for node in graph.nodes.values()):
        # A value is let go when its last known consumer is done; a lazy input asked for later may bring it back.
        assert max(calls.values()) == 1
    assert max((calls[node] for node in calls if state.is_kept(node, SPECS)), default=1) == 1
    assert finished.cached == ()
    again = loop.finish("k", graph)
    assert again.outputs == finished.outputs
    assert set(again.ran) == set(finished.ran)


@LAWS
@given(histories())
def test_edited_graphs_run_exactly_what_changed_and_show_what_a_cold_run_shows(history: list[Graph]) -> None:
    loop, evaluator = checked_loop(), oracle()
    for number, graph in enumerate(history):
        finished = loop.finish(f"j{number}", graph)
        state = evaluator.run(graph, targets_of(graph))
        assert ran_sigs(evaluator, state, finished.ran) == ran_sigs(evaluator, state, tuple(state.ran))
        assert shown(finished, graph) == shown(checked_loop().finish("cold", graph), graph)


@LAWS
@given(histories(), st.integers(0, 400), st.sampled_from(["classic", "lru"]), st.integers(0, 30))
def test_small_budgets_change_what_runs_but_not_what_comes_out(
    history: list[Graph], max_bytes: int, mode: str, max_results: int
) -> None:
    costs = {"Add": 3.0, "Make": 1.0, "Const": 0.5}
    executor = executor_with(mode, max_bytes=max_bytes, max_results=max_results, max_disk_bytes=max_bytes // 8)
    loop = checked_loop(executor, costs_s=costs)
    for number, graph in enumerate(history):
        finished = loop.finish(f"j{number}", graph)
        assert shown(finished, graph) == shown(checked_loop().finish("cold", graph), graph)
        assert loop.disk.keys() == set(executor.cache.disk._sizes)


@LAWS
@given(graphs(max_nodes=25), graphs(max_nodes=25), st.lists(st.integers(0, 7), max_size=200), st.booleans())
def test_two_interleaved_jobs_equal_two_solo_runs(one: Graph, two: Graph, order: list[int], is_same: bool) -> None:
    two = one if is_same else two
    loop = checked_loop(executor_with("lru", max_results=10_000, lanes={"cpu": 2, "device": 2}))
    loop.feed(arrived("one", one))
    loop.feed(arrived("two", two))
    for index in order:
        loop.step(index % max(1, len(loop.waiting)))
    loop.run()
    for job, graph in (("one", one), ("two", two)):
        assert loop.finished[job].outcome == "succeeded"
        assert shown(loop.finished[job], graph) == shown(checked_loop().finish("solo", graph), graph)
    evaluator = oracle()
    first, second = evaluator.run(one, targets_of(one)), evaluator.run(two, targets_of(two))
    ran = ran_sigs(evaluator, first, loop.finished["one"].ran)
    generated = [node for node in loop.finished["two"].ran if node not in second.nodes]
    if not generated:
        ran += ran_sigs(evaluator, second, loop.finished["two"].ran)
        assert max(ran.values(), default=1) == 1


@LAWS
@given(graphs(max_nodes=25, types=("Tick", "Fail")), st.lists(st.integers(0, 7), max_size=60), st.integers(0, 60))
def test_instructions_follow_from_the_events_alone(graph: Graph, order: list[int], cancel_after: int) -> None:
    log = EventLog()
    cache = executor_with(lanes={"cpu": 3}).cache
    loop = CheckedLoop(Executor(cache, {"cpu": 3}, log=log), FUNCTIONS, LAZY_CHECKS)
    loop.feed(arrived("j", graph))
    for index in order[:cancel_after]:
        loop.step(index % max(1, len(loop.waiting)))
    loop.run()
    again = [i for batch in replay(log.events(), executor_with(lanes={"cpu": 3})) for i in batch]
    assert list(map(repr, again)) == list(map(repr, loop.instructions))
