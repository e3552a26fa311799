"""Which results are served instead of made again, and why a node ran."""

from __future__ import annotations

import math

from engine.core.errors import NodeError
from engine.core.ids import Address
from engine.execution.events import (
    ArtifactLoaded,
    ArtifactStored,
    ArtifactUnavailable,
    CallResult,
    CallsReturned,
    CancelRequested,
    MemoryFreed,
    NodeRaised,
)
from engine.execution.instructions import DropArtifact, FinishJob, LoadArtifact, Report, RunNode, StoreArtifact
from engine.graph.graph import Graph
from tests.execution.node_kit import SPECS, arrived, checked_loop, executor_with, graph_of, spec


def numbers(first: int = 1, second: int = 2) -> Graph:
    return graph_of(
        a=("Const", {"value": first}), b=("Const", {"value": second}), c=("Add", {"a": "a", "b": "b"}),
        s=("Save", {"v": "c"}),
    )  # fmt: skip


def test_an_equal_graph_runs_nothing_and_shows_its_outputs_again() -> None:
    loop = checked_loop()
    first = loop.finish("j", numbers())
    loop.instructions.clear()
    second = loop.finish("k", numbers())
    assert second.ran == ()
    assert second.cached == ("a", "b", "c", "s")
    assert second.outputs == first.outputs
    shown = {"node": "s", "display": "s", "parent": None, "real": "s", "ui": {"text": [3]}, "cached": True}
    assert loop.instructions[:2] == [
        Report("k", "nodes_cached", {"nodes": ["a", "b", "c", "s"]}),
        Report("k", "node_finished", shown),
    ]
    assert isinstance(loop.instructions[2], FinishJob)


def test_a_renumbered_graph_is_fully_cached() -> None:
    loop = checked_loop()
    loop.finish("j", numbers())
    other = graph_of(
        x=("Const", {"value": 1}), y=("Const", {"value": 2}), z=("Add", {"a": "x", "b": "y"}), w=("Save", {"v": "z"})
    )
    assert loop.finish("k", other).ran == ()


def test_a_change_runs_what_is_below_it_and_nothing_else() -> None:
    loop = checked_loop()
    loop.finish("j", numbers())
    finished = loop.finish("k", numbers(second=5))
    assert finished.ran == ("b", "c", "s")
    assert finished.cached == ("a",)


def test_classic_forgets_what_the_graph_does_not_mention_and_lru_does_not() -> None:
    for mode, ran in (("classic", ("b", "c", "s")), ("lru", ())):
        loop = checked_loop(executor_with(mode, max_results=100))
        for number, second in enumerate((2, 5, 2)):
            finished = loop.finish(f"j{number}", numbers(second=second))
        assert finished.ran == ran


def test_lru_drops_the_results_of_the_oldest_jobs_when_a_job_starts() -> None:
    loop = checked_loop(executor_with("lru", max_results=4))
    loop.finish("j", numbers())
    loop.finish("k", numbers(7, 8))
    assert loop.finish("l", numbers(7, 8)).ran == ()
    assert loop.finish("m", numbers()).ran == ("a", "b", "c", "s")


def test_nothing_crosses_jobs_without_a_cache() -> None:
    loop = checked_loop(executor_with("none"))
    loop.finish("j", numbers())
    again = loop.finish("k", numbers())
    assert again.ran == ("a", "b", "c", "s")
    assert again.cached == ()
    assert [r.data for r in loop.reports if r.kind == "nodes_cached"] == [{"nodes": []}, {"nodes": []}]
    assert again.reasons["a"] == {"reason": "cache_off"}


def test_without_a_cache_a_value_is_let_go_when_its_last_consumer_is_done() -> None:
    executor = executor_with("none")
    executor.handle(arrived("j", numbers()))
    for node, value in (("a", 1), ("b", 2)):
        executor.handle(CallsReturned("j", node, (CallResult((value,)),)))
    assert executor.story("j").path("a") == ["idle", "waiting", "ready", "running", "done"]
    executor.handle(CallsReturned("j", "c", (CallResult((3,)),)))
    assert executor.story("j").path("a")[-1] == "released"
    assert executor.story("j").path("c")[-1] == "done"


def test_identical_nodes_run_once_and_the_second_is_reported_as_cached() -> None:
    one, other = ("Const", {"value": 1}), ("Const", {"value": 1})
    graph = graph_of(a=one, b=other, s=("Save", {"v": "a"}), t=("Save", {"v": "b"}))
    loop = checked_loop()
    finished = loop.finish("j", graph)
    assert finished.ran == ("a", "s")
    assert finished.cached == ("b", "t")
    assert finished.outputs == {"s": {"text": [1]}, "t": {"text": [1]}}
    cached = [r.data["node"] for r in loop.reports if r.kind == "node_finished" and r.data["cached"]]
    assert cached == ["b", "t"]


def test_a_node_waits_for_an_equal_one_that_is_still_running_in_another_job() -> None:
    executor = executor_with(lanes={"cpu": 4})
    first = executor.handle(arrived("one", numbers()))
    second = executor.handle(arrived("two", numbers()))
    assert [i.node.id for i in first if isinstance(i, RunNode)] == ["a", "b"]
    assert [i for i in second if isinstance(i, RunNode)] == []
    executor.handle(CallsReturned("one", "a", (CallResult((1,)),)))
    executor.handle(CallsReturned("one", "b", (CallResult((2,)),)))
    executor.handle(CallsReturned("one", "c", (CallResult((3,)),)))
    ended = executor.handle(CallsReturned("one", "s", (CallResult(),), {"text": [3]}))
    done = {i.job: i for i in ended if isinstance(i, FinishJob)}
    assert (done["one"].ran, done["one"].cached) == (("a", "b", "c", "s"), ())
    assert (done["two"].ran, done["two"].cached) == ((), ("a", "b", "c", "s"))
    assert done["two"].outputs == {"s": {"text": [3]}}
    assert executor.is_idle


def test_a_waiting_node_runs_itself_when_the_equal_one_fails() -> None:
    for event in (NodeRaised("one", "a", NodeError("no")), CancelRequested("one")):
        executor = executor_with(lanes={"cpu": 4})
        executor.handle(arrived("one", graph_of(a=("Const", {"value": 1}), s=("Save", {"v": "a"}))))
        executor.handle(arrived("two", graph_of(a=("Const", {"value": 1}), s=("Save", {"v": "a"}))))
        instructions = executor.handle(event)
        if isinstance(event, CancelRequested):
            instructions = executor.handle(NodeRaised("one", "a", NodeError("stopped", code="cancelled")))
        started = [(i.job, i.node.id) for i in instructions if isinstance(i, RunNode)]
        assert started == [("two", "a")]
        executor.validate_state()


def test_a_starting_job_never_takes_values_from_a_running_one() -> None:
    executor = executor_with(lanes={"cpu": 1})
    executor.handle(arrived("one", numbers()))
    executor.handle(CallsReturned("one", "a", (CallResult((1,)),)))
    executor.handle(arrived("two", graph_of(x=("Const", {"value": 9}), t=("Save", {"v": "x"}))))
    executor.handle(CancelRequested("two"))
    executor.handle(CallsReturned("one", "b", (CallResult((2,)),)))
    cached = executor.handle(arrived("three", numbers()))[0]
    assert cached.data == {"nodes": ["a", "b"]}


def test_a_volatile_node_and_all_below_it_run_every_time() -> None:
    graph = graph_of(t=("Tick", {"value": 1}), a=("Add", {"a": "t", "b": 1}), s=("Save", {"v": "a"}),
                     b=("Const", {"value": 1}), u=("Save", {"v": "b"}))  # fmt: skip
    loop = checked_loop()
    loop.finish("j", graph)
    again = loop.finish("k", graph)
    assert set(again.ran) == {"t", "a", "s"}
    assert again.reasons["t"] == {"reason": "always_runs"}
    assert again.reasons["a"]["inputs"][0]["upstream"]
    assert len(loop.executor.cache) == 2


def test_two_equal_volatile_nodes_both_run() -> None:
    graph = graph_of(t=("Tick", {"value": 1}), u=("Tick", {"value": 1}), a=("Add", {"a": "t", "b": "u"}),
                     s=("Save", {"v": "a"}))  # fmt: skip
    assert checked_loop().finish("j", graph).ran == ("t", "u", "a", "s")


def test_a_fingerprint_decides_like_an_input_and_nan_never_equals() -> None:
    loop = checked_loop()
    loop.finish("j", numbers(), fingerprints={"a": ["file", 1]})
    assert loop.finish("k", numbers(), fingerprints={"a": ["file", 1]}).ran == ()
    changed = loop.finish("l", numbers(), fingerprints={"a": ["file", 2]})
    assert changed.ran == ("a", "c", "s")
    assert changed.reasons["a"]["reason"] == "outside_changed"
    for job in ("m", "n"):
        assert loop.finish(job, numbers(), fingerprints={"a": [math.nan]}).ran == ("a", "c", "s")


def test_nodes_that_depend_on_their_id_are_never_shared() -> None:
    specs = {**SPECS, "Own": spec("Own", "v", depends_on_id=True)}
    graph = graph_of(a=("Own", {"v": 1}), b=("Own", {"v": 1}), s=("Save", {"v": "a"}), t=("Save", {"v": "b"}))
    loop = checked_loop(functions={"Own": lambda v: v})
    assert set(loop.finish("j", graph, specs=specs).ran) == {"a", "b", "s", "t"}
    assert loop.finish("k", graph, specs=specs).ran == ()


def test_freeing_memory_forgets_everything_but_what_a_job_holds() -> None:
    executor = executor_with()
    executor.handle(arrived("one", numbers()))
    executor.handle(CallsReturned("one", "a", (CallResult((1,)),)))
    assert executor.handle(MemoryFreed()) == []
    executor.validate_state()
    run = executor.handle(CallsReturned("one", "b", (CallResult((2,)),)))[-1]
    assert run.calls == ({"a": 1, "b": 2},)
    executor.handle(CallsReturned("one", "c", (CallResult((3,)),)))
    executor.handle(CallsReturned("one", "s", (CallResult(),)))
    assert executor.handle(arrived("two", numbers()))[0].data == {"nodes": ["b", "c", "s"]}


def test_an_evicted_value_is_made_again_and_says_so() -> None:
    loop = checked_loop(executor_with(max_bytes=8), costs_s={"Add": 5.0})
    loop.finish("j", numbers())
    finished = loop.finish("k", graph_of(**{
        "a": ("Const", {"value": 1}), "b": ("Const", {"value": 2}), "c": ("Add", {"a": "a", "b": "b"}),
        "s": ("Save", {"v": "c"}), "t": ("Save", {"v": "a"}),
    }))  # fmt: skip
    assert finished.ran == ("a", "t")
    assert finished.cached == ("c", "s")
    assert finished.reasons == {"a": {"reason": "not_kept"}, "t": {"reason": "first_run"}}


def test_the_reason_names_the_input_that_changed() -> None:
    loop = checked_loop()
    assert loop.finish("j", numbers()).reasons["a"] == {"reason": "first_run"}
    reasons = loop.finish("k", numbers(first=4)).reasons
    assert reasons["a"]["inputs"] == [{"input": "value", "was": "1", "is": "4", "upstream": False}]
    assert [(item["input"], item["upstream"]) for item in reasons["c"]["inputs"]] == [("a", True)]
    assert loop.executor.story("k").reasons["a"] == reasons["a"]


def test_the_reason_compares_with_the_last_time_the_node_was_seen_even_if_it_was_cached() -> None:
    loop = checked_loop(executor_with("lru", max_results=100))
    for number, first in enumerate((1, 4, 1)):
        loop.finish(f"j{number}", numbers(first=first))
    reasons = loop.finish("k", numbers(first=9)).reasons
    assert reasons["a"]["inputs"] == [{"input": "value", "was": "1", "is": "9", "upstream": False}]


# -------------------------------------------------------------------- disk


def test_results_survive_a_restart_through_the_disk() -> None:
    loop = checked_loop(executor_with(max_disk_bytes=100), costs_s={"Add": 1.0, "Const": 1.0, "Save": 1.0})
    loop.finish("j", numbers())
    stored = {address: 1 for address in loop.disk}
    again = checked_loop(executor_with(max_disk_bytes=100, on_disk=stored), disk=loop.disk)
    finished = again.finish("k", numbers())
    assert finished.ran == ()
    assert finished.cached == ("a", "b", "c", "s")
    assert finished.outputs == {"s": {"text": [3]}}
    assert len([item for item in again.instructions if isinstance(item, LoadArtifact)]) == 1
    assert again.finish("l", numbers(second=9)).ran == ("b", "c", "s")


def test_what_cannot_be_read_back_is_made_again() -> None:
    loop = checked_loop(executor_with(max_disk_bytes=100), costs_s={"Add": 1.0, "Const": 1.0, "Save": 1.0})
    loop.finish("j", numbers())
    addresses = dict.fromkeys(loop.disk, 1)
    again = checked_loop(executor_with(max_disk_bytes=100, on_disk=addresses))
    finished = again.finish("k", numbers())
    assert (finished.outcome, sorted(finished.ran), finished.cached) == ("succeeded", ["a", "b", "c", "s"], ())


def test_only_what_is_cheaper_to_read_than_to_make_is_stored_and_never_what_occurs_once() -> None:
    graph = graph_of(a=("Const", {"value": 1}), t=("Tick", {"value": 1}), c=("Add", {"a": "a", "b": 1}),
                     d=("Add", {"a": "t", "b": 1}), s=("Save", {"v": "c"}), u=("Save", {"v": "d"}))  # fmt: skip
    loop = checked_loop(executor_with(max_disk_bytes=100), costs_s={"Add": 1.0, "Tick": 1.0})
    loop.finish("j", graph)
    stored = [item for item in loop.instructions if isinstance(item, StoreArtifact)]
    # The saver has no value at all: nothing is cheaper to read.
    assert [(item.outputs, item.ui) for item in stored] == [(([2],), None), ((), {"text": [2]})]


def test_the_disk_budget_drops_the_least_recently_used() -> None:
    executor = executor_with(max_disk_bytes=10, on_disk={Address("a"): 4, Address("b"): 4, Address("c"): 4})
    assert executor.handle(MemoryFreed())[0] == DropArtifact(Address("a"))
    executor.handle(ArtifactStored(Address("d"), 6))
    assert executor.handle(ArtifactStored(Address("e"), 6)) == [DropArtifact(Address("d"))]


def test_two_jobs_that_want_the_same_stored_value_read_it_once() -> None:
    executor = executor_with(max_disk_bytes=100)
    graph = graph_of(a=("Const", {"value": 1}), s=("Save", {"v": "a"}))
    address = executor.handle(arrived("probe", graph))[-1].address
    executor.handle(CancelRequested("probe"))
    executor.handle(NodeRaised("probe", "a", NodeError("stopped", code="cancelled")))
    executor.handle(ArtifactStored(address, 5))
    first = executor.handle(arrived("one", graph))
    second = executor.handle(arrived("two", graph))
    assert [i for i in (*first, *second) if isinstance(i, LoadArtifact)] == [LoadArtifact(address)]
    run = executor.handle(ArtifactLoaded(address, ([1],), None, 5))
    assert [(i.job, i.node.id) for i in run if isinstance(i, RunNode)] == [("one", "s")]
    executor.validate_state()


def test_a_job_waiting_for_the_disk_can_be_cancelled() -> None:
    executor = executor_with(max_disk_bytes=100)
    graph = graph_of(a=("Const", {"value": 1}), s=("Save", {"v": "a"}))
    address = executor.handle(arrived("probe", graph))[-1].address
    executor.handle(NodeRaised("probe", "a", NodeError("no")))
    executor.handle(ArtifactStored(address, 5))
    executor.handle(arrived("one", graph))
    assert executor.handle(CancelRequested("one"))[-1].outcome == "cancelled"
    assert executor.handle(ArtifactUnavailable(address)) == []
    executor.validate_state()
