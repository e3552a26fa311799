"""Mapping a node over lists, and putting its results together."""

from __future__ import annotations

from typing import Any

import pytest

from engine.core.errors import NodeError
from engine.core.ids import NodeId
from engine.execution.calls import merge_results, plan_calls
from engine.execution.events import Blocker, CallResult, Expansion
from engine.graph.graph import Graph, GraphNode, Link
from engine.graph.schema import NodeSpec, OutputSpec

NODE = GraphNode(NodeId("n"), "N")
PLAIN = NodeSpec("N", outputs=(OutputSpec("v", "INT"),))
LISTS = NodeSpec("N", outputs=(OutputSpec("v", "INT", is_list=True), OutputSpec("w", "INT")))
TAKES_LISTS = NodeSpec("N", is_input_list=True)


def merge(spec: NodeSpec, *results: CallResult) -> tuple[list[Any], ...]:
    return merge_results(NODE.id, spec, results, lambda link: [f"{link.node}:{link.slot}", "second"])


def test_a_node_without_inputs_is_called_once() -> None:
    plan = plan_calls(NODE, PLAIN, {})
    assert (plan.calls, plan.indices, plan.num_calls) == (({},), (0,), 1)


def test_lists_of_length_three_and_two_meet_as_first_second_second() -> None:
    plan = plan_calls(NODE, PLAIN, {"a": [0, 1, 2], "b": [10, 11]})
    assert plan.calls == ({"a": 0, "b": 10}, {"a": 1, "b": 11}, {"a": 2, "b": 11})


def test_an_empty_list_beside_a_constant_is_an_error_that_names_it() -> None:
    with pytest.raises(NodeError, match="'b'") as raised:
        plan_calls(NODE, PLAIN, {"a": [1], "b": []})
    assert (raised.value.code, raised.value.input, raised.value.node) == ("empty_list", "b", "n")


def test_a_list_node_gets_its_own_lists() -> None:
    values = [1, 2]
    plan = plan_calls(NODE, TAKES_LISTS, {"a": values, "b": []})
    assert plan.calls == ({"a": [1, 2], "b": []},)
    plan.calls[0]["a"].append(3)
    assert values == [1, 2]


def test_a_blocker_stops_one_call_of_a_mapped_node_and_the_only_call_of_a_list_node() -> None:
    values = [1, Blocker("no"), 3]
    plan = plan_calls(NODE, PLAIN, {"a": values})
    assert (plan.indices, plan.blockers, plan.num_calls) == ((0, 2), (Blocker("no"),), 3)
    placed = plan.place([CallResult((1,)), CallResult((3,))])
    assert merge(PLAIN, *placed) == ([1, Blocker(), 3],)
    assert plan_calls(NODE, TAKES_LISTS, {"a": values}).calls == ()


def test_list_outputs_are_joined_and_others_collected() -> None:
    assert merge(LISTS, CallResult(([1, 2], 3)), CallResult(([], 4))) == ([1, 2], [3, 4])


def test_a_single_result_keeps_list_outputs_apart_from_others() -> None:
    assert merge(LISTS, CallResult(([1, 2], [3]))) == ([1, 2], [[3]])


def test_a_blocked_call_blocks_every_output() -> None:
    blocker = Blocker("why")
    assert merge(LISTS, CallResult(([1], 2)), CallResult(blocked=blocker)) == ([1, blocker], [2, blocker])
    assert merge(LISTS, CallResult(blocked=blocker)) == ([blocker], [blocker])


def test_a_blocker_as_one_output_stays_in_its_place() -> None:
    assert merge(LISTS, CallResult((Blocker(), 2))) == ([Blocker()], [2])


def test_a_node_that_returns_nothing_has_no_outputs() -> None:
    assert merge(PLAIN, CallResult()) == ()


def test_a_list_output_takes_any_iterable_but_no_number() -> None:
    assert merge(LISTS, CallResult((range(2), 0))) == ([0, 1], [0])
    with pytest.raises(NodeError, match="int"):
        merge(LISTS, CallResult((5, 0)))


def test_links_into_an_expansion_give_all_values_of_their_source() -> None:
    expansion = Expansion(Graph())
    result = CallResult((Link(NodeId("x"), 1), 5), expansion=expansion)
    assert merge(PLAIN, result) == (["x:1", "second"], [5])
    plain = CallResult((Link(NodeId("x"), 1),))
    assert merge(PLAIN, plain) == ([Link(NodeId("x"), 1)],)
