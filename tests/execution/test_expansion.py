"""Nodes that generate nodes."""

from __future__ import annotations

from engine.core.ids import NodeId
from engine.execution.events import CallResult, Expansion
from engine.execution.instructions import RunNode
from engine.graph.graph import Graph, GraphNode, Link
from tests.execution.node_kit import SPECS, CheckedLoop, checked_loop, executor_with, graph_of, spec


def generate(values: tuple, display: dict | None = None, **nodes: tuple[str, dict]) -> CallResult:
    built = {NodeId(name): GraphNode(NodeId(name), kind, inputs) for name, (kind, inputs) in nodes.items()}
    return CallResult(values, expansion=Expansion(Graph(built), display=display or {}))


def loop_with(function, *, mode: str = "classic", **flags) -> CheckedLoop:
    own = spec("Own", "v w", "v", **flags)
    return checked_loop(executor_with(mode), functions={"Own": function}), {**SPECS, "Own": own}


def test_generated_nodes_run_and_give_the_result_of_the_node_that_made_them() -> None:
    graph = graph_of(g=("Grow", {"v": 10, "depth": 1}), s=("Save", {"v": "g"}))
    loop = checked_loop()
    finished = loop.finish("j", graph)
    assert finished.ran == ("g", "g.a", "g.b", "g.s", "s")
    assert finished.outputs == {"g.s": {"text": [11]}, "s": {"text": [11]}}
    expanded = [r.data for r in loop.reports if r.kind == "node_expanded"]
    assert expanded == [{"node": "g", "display": "g", "parent": None, "real": "g", "nodes": ["g.a", "g.b", "g.s"]}]


def test_nested_expansions_know_their_parent_and_their_origin() -> None:
    loop = checked_loop()
    loop.finish("j", graph_of(g=("Grow", {"v": 10, "depth": 2}), s=("Save", {"v": "g"})))
    places = {i.node.id: i.place for i in loop.instructions if isinstance(i, RunNode)}
    inner = places["g.g.a"]
    assert (inner.node, inner.display, inner.parent, inner.real) == ("g.g.a", "g", "g.g", "g")
    assert loop.finished["j"].outputs["s"] == {"text": [13]}


def test_an_expansion_ten_thousand_deep_unwinds_without_recursion() -> None:
    def deeper(v: int, w: int) -> CallResult:
        if v == 0:
            return CallResult((0,))
        return generate((Link(NodeId(f"d{v}"), 0),), **{f"d{v}": ("Own", {"v": v - 1, "w": w})})

    loop, specs = loop_with(deeper)
    loop.is_checked = False  # a check is linear in all nodes
    finished = loop.finish("j", graph_of(g=("Own", {"v": 10_000, "w": 0}), s=("Save", {"v": "g"})), specs=specs)
    assert (finished.outcome, finished.outputs["s"]) == ("succeeded", {"text": [0]})


def test_the_expanding_node_is_cached_under_its_own_address() -> None:
    loop = checked_loop()
    graph = graph_of(g=("Grow", {"v": 10, "depth": 2}), s=("Save", {"v": "g"}))
    loop.finish("j", graph)
    again = loop.finish("k", graph)
    assert (again.ran, again.cached) == ((), ("g", "s"))


def test_when_one_inner_input_changes_only_that_part_runs_again() -> None:
    def pair(v: int, w: int) -> CallResult:
        return generate(
            (Link(NodeId("sum"), 0),),
            left=("Const", {"value": v}), right=("Const", {"value": w}),
            sum=("Add", {"a": Link(NodeId("left"), 0), "b": Link(NodeId("right"), 0)}),
        )  # fmt: skip

    loop, specs = loop_with(pair)
    for number, (right, ran) in enumerate(
        [(2, {"g", "left", "right", "sum", "s"}), (3, {"g", "right", "sum", "s"}), (2, {"g", "right", "sum", "s"})]
    ):
        graph = graph_of(g=("Own", {"v": 1, "w": right}), s=("Save", {"v": "g"}))
        finished = loop.finish(f"j{number}", graph, specs=specs)
        assert set(finished.ran) == ran
        assert finished.outputs["s"] == {"text": [1 + right]}


def test_generated_values_are_forgotten_with_the_node_that_made_them() -> None:
    loop = checked_loop()
    loop.finish("j", graph_of(g=("Grow", {"v": 10, "depth": 2}), s=("Save", {"v": "g"})))
    loop.finish("k", graph_of(x=("Const", {"value": 77}), s=("Save", {"v": "x"})))
    assert len(loop.executor.cache) == 2


def test_a_taken_id_is_refused() -> None:
    loop, specs = loop_with(lambda v, w: generate((Link(NodeId("s"), 0),), s=("Const", {"value": 1})))
    finished = loop.finish("j", graph_of(g=("Own", {"v": 1, "w": 1}), s=("Save", {"v": "g"})), specs=specs)
    assert (finished.outcome, finished.error.code, finished.error.node) == ("failed", "duplicate_node", "g")


def test_a_result_linked_to_nowhere_is_refused() -> None:
    loop, specs = loop_with(lambda v, w: generate((Link(NodeId("nowhere"), 0),), x=("Const", {"value": 1})))
    finished = loop.finish("j", graph_of(g=("Own", {"v": 1, "w": 1}), s=("Save", {"v": "g"})), specs=specs)
    assert (finished.outcome, finished.error.code) == ("failed", "missing_node")


def test_a_node_that_waits_for_what_it_generated_from_itself_fails_as_a_cycle() -> None:
    loop, specs = loop_with(
        lambda v, w: generate((Link(NodeId("x"), 0),), x=("Add", {"a": Link(NodeId("s2"), 0), "b": 1}))
    )
    graph = graph_of(g=("Own", {"v": 1, "w": 1}), s2=("Pass", {"v": "g"}))
    finished = loop.finish("j", graph, specs=specs)
    assert (finished.outcome, finished.error.code) == ("failed", "cycle")


def test_a_node_that_expands_into_its_equal_is_refused() -> None:
    loop, specs = loop_with(lambda v, w: generate((Link(NodeId("x"), 0),), x=("Own", {"v": v, "w": w})))
    finished = loop.finish("j", graph_of(g=("Own", {"v": 1, "w": 1}), s=("Save", {"v": "g"})), specs=specs)
    assert (finished.outcome, finished.error.code, finished.error.node) == ("failed", "endless_expansion", "g")


def test_generated_nodes_may_link_to_any_node_of_the_job() -> None:
    for mode in ("classic", "lru", "none"):
        loop, specs = loop_with(
            lambda v, w: generate((Link(NodeId("x"), 0),), x=("Add", {"a": Link(NodeId("far"), 0), "b": v})),
            mode=mode,
        )
        graph = graph_of(far=("Const", {"value": 40}), g=("Own", {"v": 2, "w": 0}), s=("Save", {"v": "g"}))
        finished = loop.finish("j", graph, specs=specs)
        assert (set(finished.ran), finished.outputs) == ({"far", "g", "x", "s"}, {"s": {"text": [42]}})


def test_some_list_items_may_expand_while_others_return_plainly() -> None:
    def sometimes(v: int, w: int) -> CallResult:
        if v == 1:
            return CallResult((100,))
        return generate((Link(NodeId(f"x{v}"), 0),), **{f"x{v}": ("Add", {"a": v, "b": w})})

    loop, specs = loop_with(sometimes)
    graph = graph_of(l=("Make", {"n": 3, "start": 0}), g=("Own", {"v": "l", "w": 5}), s=("Save", {"v": "g"}))
    assert loop.finish("j", graph, specs=specs).outputs == {"s": {"text": [5, 100, 7]}}


def test_an_expansion_that_gives_a_list_passes_it_on() -> None:
    loop, specs = loop_with(
        lambda v, w: generate((Link(NodeId("x"), 0),), x=("Make", {"n": 3, "start": v})),
    )
    graph = graph_of(g=("Own", {"v": 1, "w": 0}), s=("Save", {"v": "g"}))
    assert loop.finish("j", graph, specs=specs).outputs == {"s": {"text": [1, 2, 3]}}


def test_a_constant_result_stands_beside_linked_ones() -> None:
    own = spec("Own", "v w", "first second")
    loop = checked_loop(functions={"Own": lambda v, w: generate((7, Link(NodeId("x"), 0)), x=("Const", {"value": v}))})
    graph = graph_of(g=("Own", {"v": 1, "w": 0}), s=("Save", {"v": "g:0"}), t=("Save", {"v": "g:1"}))
    finished = loop.finish("j", graph, specs={**SPECS, "Own": own})
    assert finished.outputs == {"s": {"text": [7]}, "t": {"text": [1]}}


def test_new_nodes_show_as_declared_or_as_the_node_that_made_them() -> None:
    loop, specs = loop_with(
        lambda v, w: generate(
            (Link(NodeId("x"), 0),), {NodeId("x"): NodeId("elsewhere")},
            x=("Add", {"a": Link(NodeId("y"), 0), "b": 1}), y=("Const", {"value": 1}),
        )
    )  # fmt: skip
    loop.finish("j", graph_of(g=("Own", {"v": 1, "w": 0}), s=("Save", {"v": "g"})), specs=specs)
    places = {i.node.id: i.place.display for i in loop.instructions if isinstance(i, RunNode)}
    assert (places["x"], places["y"]) == ("elsewhere", "g")


def test_an_expansion_brings_the_types_the_job_lacks() -> None:
    late = spec("Late", "v")

    def bring(v: int, w: int) -> CallResult:
        nodes = Graph({NodeId("x"): GraphNode(NodeId("x"), "Late", {"v": v})})
        return CallResult((Link(NodeId("x"), 0),), expansion=Expansion(nodes, specs={"Late": late}))

    loop, specs = loop_with(bring)
    loop.functions["Late"] = lambda v: v * 2
    graph = graph_of(g=("Own", {"v": 4, "w": 0}), s=("Save", {"v": "g"}))
    assert loop.finish("j", graph, specs=specs).outputs == {"s": {"text": [8]}}


def test_objects_as_constants_run_every_time_unless_the_parent_is_cached() -> None:
    token = object()
    loop, specs = loop_with(lambda v, w: generate((Link(NodeId("x"), 0),), x=("Const", {"value": token})))
    first = graph_of(g=("Own", {"v": 1, "w": 0}), s=("Save", {"v": "g"}))
    assert loop.finish("j", first, specs=specs).outputs == {"s": {"text": [token]}}
    assert loop.finish("k", first, specs=specs).ran == ()
    second = graph_of(g=("Own", {"v": 1, "w": 1}), s=("Save", {"v": "g"}))
    assert loop.finish("l", second, specs=specs).ran == ("g", "x", "s")


def test_a_failing_generated_node_fails_the_job_and_leaves_the_parent_uncached() -> None:
    loop, specs = loop_with(lambda v, w: generate((Link(NodeId("x"), 0),), x=("Fail", {"v": v})))
    graph = graph_of(g=("Own", {"v": 1, "w": 0}), s=("Save", {"v": "g"}))
    finished = loop.finish("j", graph, specs=specs)
    assert (finished.outcome, finished.error.node) == ("failed", "x")
    assert loop.finish("k", graph, specs=specs).ran == ("g", "x")


def test_a_node_expands_once_in_a_job_even_if_its_value_is_wanted_late_and_nothing_fits_the_cache() -> None:
    graph = graph_of(
        g=("Grow", {"v": 10, "depth": 1}), s=("Save", {"v": "g"}), late=("Add", {"a": "g", "b": 1}),
        other=("Const", {"value": 0}), p=("Pick", {"flag": "f4", "x": "late", "y": "other"}), t=("Save", {"v": "p"}),
        f1=("Const", {"value": 2}), f2=("Add", {"a": "f1", "b": 0}), f3=("Add", {"a": "f2", "b": 0}),
        f4=("Add", {"a": "f3", "b": 0}),
    )  # fmt: skip
    for executor in (executor_with(max_bytes=0), executor_with("none")):
        loop = checked_loop(executor)
        finished = loop.finish("j", graph)
        assert (finished.outcome, finished.outputs["t"]) == ("succeeded", {"text": [12]})
        called = [node for _, node in loop.calls]
        assert called.count("g") == 1
        assert called.index("s") < called.index("f4") < called.index("late")
