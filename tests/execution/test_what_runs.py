"""Which nodes run, in which order, and with which arguments."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.core.errors import ConflictError, NodeError
from engine.execution.events import CallResult, CallsReturned, CancelRequested, LazyAnswered, NodeRaised
from engine.execution.instructions import AskLazy, FinishJob, InterruptNode, Report, RunNode
from engine.graph.graph import Graph, GraphNode, Link
from engine.graph.schema import InputSpec
from tests.execution.node_kit import SPECS, arrived, checked_loop, executor_with, graph_of, spec

CHAIN = graph_of(a=("Const", {"value": 1}), b=("Add", {"a": "a", "b": 2}), s=("Save", {"v": "b"}))


def events_of(instructions: list) -> list[str]:
    return [type(item).__name__ for item in instructions]


def test_a_chain_runs_from_source_to_target() -> None:
    finished = checked_loop().finish("j", CHAIN)
    assert finished.outcome == "succeeded"
    assert finished.ran == ("a", "b", "s")
    assert finished.outputs == {"s": {"text": [3]}}


def test_one_event_gives_the_instructions_for_the_next_node() -> None:
    executor = executor_with()
    first = executor.handle(arrived("j", CHAIN))
    assert events_of(first) == ["Report", "Report", "RunNode"]
    assert first[0] == Report("j", "nodes_cached", {"nodes": []})
    assert first[1] == Report("j", "node_started", {"node": "a", "display": "a", "parent": None, "real": "a"})
    assert first[2].calls == ({"value": 1},)
    second = executor.handle(CallsReturned("j", "a", (CallResult((1,)),)))
    assert events_of(second) == ["Report", "Report", "RunNode"]
    assert (second[0].kind, second[0].data["cached"], second[2].calls) == ("node_finished", False, ({"a": 1, "b": 2},))
    executor.validate_state()


def test_nodes_no_target_needs_stay_untouched() -> None:
    graph = graph_of(
        a=("Const", {"value": 1}), s=("Save", {"v": "a"}), x=("Const", {"value": 5}), t=("Save", {"v": "x"}),
        lone=("Const", {"value": 9}),
    )  # fmt: skip
    loop = checked_loop()
    assert loop.finish("j", graph, "s").ran == ("a", "s")
    assert loop.finish("k", graph).ran == ("x", "t")


def test_without_targets_a_job_succeeds_at_once() -> None:
    executor = executor_with()
    assert events_of(executor.handle(arrived("j", graph_of(a=("Const", {"value": 1}))))) == ["Report", "FinishJob"]
    assert executor.is_idle


@pytest.mark.parametrize("file_order", ["far near feeder out", "out feeder near far", "feeder far out near"])
def test_ready_nodes_start_by_distance_to_an_output(file_order: str) -> None:
    nodes = {
        "out": ("Pass", {}),
        "feeder": ("Const", {"value": 1}), "s1": ("Save", {"v": "feeder"}),
        "near": ("Const", {"value": 2}), "n1": ("Add", {"a": "near", "b": 0}), "s2": ("Save", {"v": "n1"}),
        "far": ("Const", {"value": 3}), "f1": ("Add", {"a": "far", "b": 0}), "f2": ("Add", {"a": "f1", "b": 1}),
        "s3": ("Save", {"v": "f2"}),
    }  # fmt: skip
    order = [*file_order.split(), *(name for name in nodes if name not in file_order.split())]
    graph = graph_of(**{name: nodes[name] for name in order})
    started = checked_loop().finish("j", graph).ran
    assert started[:5] == ("out", "feeder", "s1", "near", "n1")
    assert started.index("s2") < started.index("far")


def test_async_nodes_start_first_and_take_no_place() -> None:
    graph = graph_of(
        a=("Const", {"value": 1}), b=("Const", {"value": 2}), s=("Save", {"v": "a"}), t=("Save", {"v": "b"}),
        f=("Fetch", {"v": 1}), g=("Fetch", {"v": 2}), u=("Save", {"v": "f"}), w=("Save", {"v": "g"}),
    )  # fmt: skip
    started = [i.node.id for i in executor_with().handle(arrived("j", graph)) if isinstance(i, RunNode)]
    assert sorted(started) == ["a", "f", "g"]


def test_lanes_run_side_by_side_within_their_limits() -> None:
    nodes = {f"{lane}{n}": (lane, {"v": n}) for lane in ("Device", "Read", "Add") for n in range(3)}
    nodes = {name: (t, v if t != "Add" else {"a": v["v"], "b": 0}) for name, (t, v) in nodes.items()}
    saves = {f"s{name}": ("Save", {"v": name}) for name in nodes}
    executor = executor_with(lanes={"cpu": 1, "device": 2, "io": 3})
    started = [i.node.id for i in executor.handle(arrived("j", graph_of(**nodes, **saves))) if isinstance(i, RunNode)]
    assert sorted(started) == ["Add0", "Device0", "Device1", "Read0", "Read1", "Read2"]


def test_inputs_arrive_as_declared() -> None:
    hidden = "uid=UNIQUE_ID info=EXTRA_PNGINFO text=PROMPT graph=DYNPROMPT"
    shape = spec("Shape", "given default link raw", hidden=hidden, raw="raw")
    specs = {**SPECS, "Shape": shape}
    inputs = {"given": 1, "unknown": 2, "link": Link("a", 0), "raw": Link("a", 3), "beyond": Link("a", 7), "info": 8}
    graph = Graph(
        {
            "a": GraphNode("a", "Const", {"value": 4}),
            "n": GraphNode("n", "Shape", inputs),
        }
    )
    loop = checked_loop(functions={"Shape": lambda **inputs: 0})
    loop.finish("j", graph, "n", specs=specs, hidden={"PROMPT": {"a": 1}})
    called = [item for item in loop.instructions if isinstance(item, RunNode) and item.node.id == "n"]
    assert called[0].calls == (
        {"given": 1, "link": 4, "raw": ["a", 3], "beyond": None, "uid": "n", "info": None, "text": {"a": 1}},
    )


def test_a_raw_link_alone_does_not_run_its_source() -> None:
    specs = {**SPECS, "Shape": spec("Shape", "raw", raw="raw")}
    graph = Graph({"a": GraphNode("a", "Const", {"value": 4}), "n": GraphNode("n", "Shape", {"raw": Link("a", 0)})})
    loop = checked_loop(functions={"Shape": lambda raw: 0})
    assert loop.finish("j", graph, "n", specs=specs).ran == ("n",)


# -------------------------------------------------------------------- lists


def test_shorter_lists_repeat_their_last_item() -> None:
    graph = graph_of(
        l=("Make", {"n": 3, "start": 0}), m=("Make", {"n": 2, "start": 10}), s=("Add", {"a": "l", "b": "m"}),
        t=("Save", {"v": "s"}),
    )  # fmt: skip
    loop = checked_loop()
    assert loop.finish("j", graph).outputs == {"t": {"text": [10, 12, 13]}}
    called = [item for item in loop.instructions if isinstance(item, RunNode) and item.node.id == "s"]
    assert (called[0].calls[2], called[0].indices, called[0].num_calls) == ({"a": 2, "b": 11}, (0, 1, 2), 3)


def test_a_list_node_is_called_once_with_lists() -> None:
    graph = graph_of(l=("Make", {"n": 3, "start": 1}), s=("Sum", {"values": "l"}), k=("Sum", {"values": 7}),
                     t=("Save", {"v": "s"}), u=("Save", {"v": "k"}))  # fmt: skip
    loop = checked_loop()
    assert loop.finish("j", graph).outputs == {"t": {"text": [6]}, "u": {"text": [7]}}
    called = [item.calls for item in loop.instructions if isinstance(item, RunNode) and item.node.type == "Sum"]
    assert sorted(called, key=str) == [({"values": [1, 2, 3]},), ({"values": [7]},)]


def test_an_empty_list_beside_a_longer_one_fails_and_names_the_input() -> None:
    graph = graph_of(l=("Make", {"n": 0, "start": 0}), a=("Add", {"a": "l", "b": 1}), s=("Save", {"v": "a"}))
    finished = checked_loop().finish("j", graph)
    assert (finished.outcome, finished.error.code) == ("failed", "empty_list")
    assert (finished.error.node, finished.error.input) == ("a", "a")


def test_only_empty_lists_give_one_call_without_arguments() -> None:
    graph = graph_of(l=("Make", {"n": 0, "start": 0}), s=("Save", {"v": "l"}))
    assert checked_loop().finish("j", graph).outputs == {"s": {"text": [None]}}


def test_an_output_that_is_no_list_where_one_is_declared_fails() -> None:
    loop = checked_loop(functions={"Make": lambda n, start: 5})
    finished = loop.finish("j", graph_of(l=("Make", {"n": 0, "start": 0}), s=("Save", {"v": "l"})))
    assert (finished.outcome, finished.error.code, finished.error.node) == ("failed", "bad_output", "l")


# -------------------------------------------------------------------- lazy inputs

LAZY = graph_of(
    f=("Const", {"value": 0}), x=("Const", {"value": 10}), y=("Const", {"value": 20}),
    p=("Pick", {"flag": "f", "x": "x", "y": "y"}), s=("Save", {"v": "p"}),
)  # fmt: skip


def test_only_the_lazy_branch_asked_for_runs() -> None:
    finished = checked_loop().finish("j", LAZY)
    assert finished.ran == ("f", "x", "p", "s")
    assert finished.outputs == {"s": {"text": [10]}}


def test_a_lazy_node_is_asked_until_it_wants_no_more_and_missing_values_are_none() -> None:
    executor = executor_with()
    executor.handle(arrived("j", LAZY))
    asked = executor.handle(CallsReturned("j", "f", (CallResult((0,)),)))[-1]
    assert isinstance(asked, AskLazy)
    assert asked.calls == ({"flag": 0, "x": None, "y": None},)
    executor.handle(LazyAnswered("j", "p", frozenset({"x"})))
    asked = executor.handle(CallsReturned("j", "x", (CallResult((10,)),)))[-1]
    assert isinstance(asked, AskLazy)
    assert asked.calls == ({"flag": 0, "x": 10, "y": None},)
    # Constants and inputs that are there already are no news.
    run = executor.handle(LazyAnswered("j", "p", frozenset({"x", "flag"})))[-1]
    assert isinstance(run, RunNode)
    assert run.calls == ({"flag": 0, "x": 10, "y": None},)
    executor.validate_state()


def test_a_node_that_takes_every_name_gets_undeclared_constants_and_the_lazy_links_it_asks_for() -> None:
    lazy = InputSpec("*", "*", "optional", {"lazy": True})
    specs = {**SPECS, "Any": replace(spec("Any"), has_lazy_check=True, any_input=lazy)}
    seen: list[dict[str, Any]] = []
    loop = checked_loop(
        functions={"Any": lambda **inputs: seen.append(inputs) or 1}, lazy_checks={"Any": lambda **inputs: ["y"]}
    )
    graph = graph_of(
        x=("Const", {"value": 10}), y=("Const", {"value": 20}), n=("Any", {"x": "x", "y": "y", "text": "t"}),
    )  # fmt: skip
    assert loop.finish("j", graph, "n", specs=specs).ran == ("y", "n")
    assert seen == [{"x": None, "y": 20, "text": "t"}]


def test_a_lazy_check_over_a_list_asks_for_all_that_any_item_wants() -> None:
    graph = graph_of(
        l=("Make", {"n": 2, "start": 0}), x=("Const", {"value": 10}), y=("Const", {"value": 20}),
        p=("Pick", {"flag": "l", "x": "x", "y": "y"}), s=("Save", {"v": "p"}),
    )  # fmt: skip
    assert checked_loop().finish("j", graph).outputs == {"s": {"text": [10, 20]}}


def test_a_lazy_check_that_asks_for_an_input_without_value_fails() -> None:
    loop = checked_loop(lazy_checks={"Pick": lambda **inputs: ["z"]})
    finished = loop.finish("j", LAZY)
    assert (finished.error.code, finished.error.node, finished.error.input) == ("unknown_lazy_input", "p", "z")


def test_a_lazy_input_of_a_node_without_lazy_check_is_none() -> None:
    specs = {**SPECS, "Take": spec("Take", "v")}
    lazy_input = spec("Take", "v", lazy="v").inputs
    specs["Take"] = type(specs["Take"])("Take", inputs=lazy_input, outputs=specs["Take"].outputs)
    graph = Graph({"a": GraphNode("a", "Const", {"value": 4}), "n": GraphNode("n", "Take", {"v": Link("a", 0)})})
    loop = checked_loop(functions={"Take": lambda v: v})
    assert loop.finish("j", graph, "n", specs=specs).ran == ("n",)


# -------------------------------------------------------------------- blockers


def test_a_silent_blocker_stops_everything_below_it_and_nothing_else() -> None:
    graph = graph_of(
        a=("Const", {"value": 3}), g=("Gate", {"v": "a"}), b=("Add", {"a": "g", "b": 1}), s=("Save", {"v": "b"}),
        t=("Save", {"v": "a"}),
    )  # fmt: skip
    loop = checked_loop()
    finished = loop.finish("j", graph)
    assert finished.outcome == "succeeded"
    assert set(finished.ran) == {"a", "g", "t"}
    assert finished.outputs == {"t": {"text": [3]}}
    blocked = [r.data for r in loop.reports if r.kind == "node_blocked"]
    assert [(data["node"], data["message"]) for data in blocked] == [("b", None), ("s", None)]


def test_a_message_is_said_once_by_the_first_node_it_stops() -> None:
    graph = graph_of(w=("Warn", {"v": 1}), b=("Add", {"a": "w", "b": 1}), s=("Save", {"v": "b"}))
    loop = checked_loop()
    assert loop.finish("j", graph).outcome == "succeeded"
    blocked = [(r.data["node"], r.data["message"]) for r in loop.reports if r.kind == "node_blocked"]
    assert blocked == [("b", "nothing to see"), ("s", None)]


def test_blocked_list_items_are_left_out_of_the_calls_and_keep_their_place() -> None:
    graph = graph_of(l=("Make", {"n": 3, "start": 2}), g=("Gate", {"v": "l"}), b=("Add", {"a": "g", "b": 0}),
                     s=("Save", {"v": "b"}))  # fmt: skip
    loop = checked_loop()
    assert loop.finish("j", graph).outputs == {"s": {"text": [2, 4]}}
    called = next(item for item in loop.instructions if isinstance(item, RunNode) and item.node.id == "b")
    assert (called.calls, called.indices, called.num_calls) == (({"a": 2, "b": 0}, {"a": 4, "b": 0}), (0, 2), 3)


def test_one_blocked_item_stops_a_list_node() -> None:
    graph = graph_of(l=("Make", {"n": 3, "start": 2}), g=("Gate", {"v": "l"}), b=("Sum", {"values": "g"}),
                     s=("Save", {"v": "b"}))  # fmt: skip
    assert checked_loop().finish("j", graph).ran == ("l", "g")


# -------------------------------------------------------------------- stopping


def test_a_failing_node_stops_the_job_and_what_was_finished_stays_cached() -> None:
    graph = graph_of(
        a=("Const", {"value": 1}), x=("Fail", {"v": "a"}), s=("Save", {"v": "x"}),
        b=("Const", {"value": 2}), t=("Save", {"v": "b"}),
    )  # fmt: skip
    loop = checked_loop()
    finished = loop.finish("j", graph)
    assert (finished.outcome, finished.error.code, finished.error.node) == ("failed", "refused", "x")
    done = [node for node in finished.ran if node != "x"]
    again = loop.finish("k", graph)
    assert set(again.cached) == set(done)
    assert again.ran[-1] == "x"


def test_a_failure_interrupts_what_runs_and_waits_for_it_to_come_back() -> None:
    graph = graph_of(d=("Device", {"v": 1}), x=("Fail", {"v": 1}), s=("Save", {"v": "x"}), t=("Save", {"v": "d"}))
    executor = executor_with(lanes={"cpu": 1, "device": 1})
    executor.handle(arrived("j", graph))
    stopped = executor.handle(NodeRaised("j", "x", NodeError("no", code="refused")))
    assert stopped == [InterruptNode("j", "d")]
    executor.validate_state()
    ended = executor.handle(CallsReturned("j", "d", (CallResult((1,)),)))
    assert isinstance(ended[-1], FinishJob)
    assert ended[-1].error.code == "refused"
    again = executor.handle(arrived("k", graph))
    assert again[0].data == {"nodes": ["d"]}


def test_cancelling_interrupts_and_ends_as_cancelled() -> None:
    executor = executor_with()
    executor.handle(arrived("j", CHAIN))
    assert executor.handle(CancelRequested("j")) == [InterruptNode("j", "a")]
    ended = executor.handle(NodeRaised("j", "a", NodeError("stopped", code="cancelled")))
    assert [(item.outcome, item.error) for item in ended] == [("cancelled", None)]
    assert executor.handle(CancelRequested("j")) == []


def test_a_node_that_raises_cancelled_on_its_own_cancels_the_job() -> None:
    executor = executor_with()
    executor.handle(arrived("j", CHAIN))
    ended = executor.handle(NodeRaised("j", "a", NodeError("stopped", code="cancelled")))
    assert ended[-1].outcome == "cancelled"


def test_a_cycle_fails_naming_its_nodes() -> None:
    graph = Graph(
        {
            "a": GraphNode("a", "Add", {"a": Link("b", 0), "b": 1}),
            "b": GraphNode("b", "Add", {"a": Link("a", 0), "b": 1}),
            "s": GraphNode("s", "Save", {"v": Link("a", 0)}),
        }
    )
    finished = checked_loop().finish("j", graph)
    assert (finished.outcome, finished.error.code) == ("failed", "cycle")
    assert set(finished.error.details["nodes"]) == {"a", "b"}


def test_a_dangling_link_and_an_unknown_type_fail_by_name() -> None:
    dangling = Graph({"s": GraphNode("s", "Save", {"v": Link("gone", 0)})})
    assert checked_loop().finish("j", dangling).error.code == "missing_node"
    unknown = Graph({"s": GraphNode("s", "Save", {"v": Link("u", 0)}), "u": GraphNode("u", "Nobody", {})})
    error = checked_loop().finish("j", unknown, "s").error
    assert (error.code, error.node) == ("unknown_node_type", "u")


def test_an_answer_nobody_asked_for_is_a_conflict() -> None:
    executor = executor_with()
    executor.handle(arrived("j", CHAIN))
    with pytest.raises(ConflictError):
        executor.handle(CallsReturned("j", "b", (CallResult((1,)),)))
    with pytest.raises(ConflictError):
        executor.handle(CallsReturned("j", "a", ()))
    with pytest.raises(ConflictError):
        executor.handle(arrived("j", CHAIN))


def test_a_chain_of_ten_thousand_nodes_runs_without_recursion() -> None:
    nodes = {"0": GraphNode("0", "Const", {"value": 0})}
    for index in range(1, 9999):
        nodes[str(index)] = GraphNode(str(index), "Add", {"a": Link(str(index - 1), 0), "b": 1})
    nodes["s"] = GraphNode("s", "Save", {"v": Link("9998", 0)})
    loop = checked_loop()
    loop.is_checked = False  # checking 10,000 nodes after each of 10,000 events would take minutes
    finished = loop.finish("j", Graph(nodes))
    assert (finished.outcome, len(finished.ran), finished.outputs) == ("succeeded", 10_000, {"s": {"text": [9998]}})
