"""Nodes run by the real executor, lanes and loop: what they return, raise, save and say."""

import asyncio
import threading
from typing import Annotated, Any, Literal

import pytest
import torch

from engine.api import (
    AnyValue,
    Blocker,
    Context,
    GraphExpansion,
    Hidden,
    Image,
    Int,
    Lazy,
    NodeError,
    NodeResult,
    String,
    node,
)
from engine.protocol.messages import OutputsStaged

DynPrompt = Annotated[Any, Hidden("DYNPROMPT")]


@node("Number")
def number(value: Int = 0) -> Int:
    return value


@node("Numbers", list_outputs=(True,))
def numbers(count: Int = 3) -> Int:
    return list(range(count))


@node("Add")
def add(a: Int, b: Int = 0) -> Int:
    return a + b


@node("Show", output=True)
def show(value: AnyValue) -> NodeResult:
    return NodeResult(ui={"text": [str(value)]})


@node("Pair", output_names=("first", "second"))
def pair(value: Int = 0) -> tuple[Int, Int]:
    return value, value + 1


@node("Single")
def single(value: Int = 0) -> tuple[Int]:
    return (value,)


def shown(done):
    return {node: ui.get("text") for node, ui in done.outputs.items()}


def constant(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


def test_a_graph_of_plain_functions_gives_its_output(bench_of):
    bench = bench_of(number, add, show)
    prompt = {
        "1": constant("Number", value=2),
        "2": constant("Add", a=["1", 0], b=3),
        "3": constant("Show", value=["2", 0]),
    }
    done = bench.run(prompt)
    assert (done.outcome, done.ran, done.cached, shown(done)) == ("succeeded", ["1", "2", "3"], [], {"3": ["5"]})
    assert set(done.stats["node_seconds"]) == {"1", "2", "3"}


def test_a_second_run_of_the_same_graph_calls_nothing(bench_of):
    bench = bench_of(number, add, show)
    prompt = {"1": constant("Number", value=2), "2": constant("Add", a=["1", 0]), "3": constant("Show", value=["2", 0])}
    bench.run(prompt)
    done = bench.run(prompt)
    assert (done.ran, sorted(done.cached), shown(done)) == ([], ["1", "2", "3"], {"3": ["2"]})
    assert bench.reports(done.job, "nodes_cached") == [{"nodes": ["1", "2", "3"]}]
    assert bench.reports(done.job, "node_started") == []


def test_outputs_of_all_forms_arrive(bench_of):
    bench = bench_of(pair, single, add, show)
    prompt = {
        "1": constant("Pair", value=10),
        "2": constant("Single", value=5),
        "3": constant("Add", a=["1", 1], b=["2", 0]),
        "4": constant("Show", value=["3", 0]),
    }
    assert shown(bench.run(prompt)) == {"4": ["16"]}


def test_a_list_is_mapped_over_and_each_call_knows_its_index(bench_of):
    @node("Index")
    def index(ctx: Context, value: Int) -> Int:
        return value * 100 + ctx.call_index

    bench = bench_of(numbers, index, show)
    prompt = {
        "1": constant("Numbers", count=3),
        "2": constant("Index", value=["1", 0]),
        "3": constant("Show", value=["2", 0]),
    }
    assert shown(bench.run(prompt)) == {"3": ["0", "101", "202"]}


def test_coroutines_of_one_node_run_at_the_same_time(bench_of):
    waiting = []

    @node("Meet")
    async def meet(value: Int) -> Int:
        waiting.append(value)
        while len(waiting) < 3:
            await asyncio.sleep(0.001)
        return value

    bench = bench_of(numbers, meet, show)
    prompt = {
        "1": constant("Numbers", count=3),
        "2": constant("Meet", value=["1", 0]),
        "3": constant("Show", value=["2", 0]),
    }
    assert shown(bench.run(prompt)) == {"3": ["0", "1", "2"]}


def test_a_generator_node_is_driven_by_the_batcher(bench_of):
    from engine.diffusion.requests import Flow, RequestGroup

    @node("Steps")
    def steps(count: Int = 3) -> Flow[Int]:
        total = 0
        for step in range(count):
            answers = yield RequestGroup(())
            total += step + len(answers)
        return total

    bench = bench_of(steps, show)
    prompt = {"1": constant("Steps", count=4), "2": constant("Show", value=["1", 0])}
    assert shown(bench.run(prompt)) == {"2": ["6"]}


@pytest.mark.parametrize(
    ("returned", "complaint"),
    [
        ((1,), "returned a tuple of 1 values although it declares 2 outputs"),
        ((1, 2, 3), "returned a tuple of 3 values although it declares 2 outputs"),
        (None, "returned NoneType instead of a tuple"),
        (7, "returned int instead of a tuple"),
        (NodeResult(values=(1,)), "returned NodeResult with 1 values although it declares 2 outputs"),
    ],
)
def test_a_wrong_number_of_values_is_named(bench_of, returned, complaint):
    @node("Wrong", output=True, output_names=("a", "b"))
    def wrong() -> tuple[Int, Int]:
        return returned

    done = bench_of(wrong).run({"1": constant("Wrong")})
    assert done.outcome == "failed"
    assert done.error["code"] == "bad_node_result"
    assert complaint in done.error["message"]


def test_a_list_output_must_be_a_list(bench_of):
    @node("NoList", output=True, list_outputs=(True,))
    def no_list() -> Int:
        return 5

    done = bench_of(no_list).run({"1": constant("NoList")})
    assert "gave int for output 0, which is a list" in done.error["message"]


def test_an_exception_names_node_inputs_and_lines(bench_of):
    @node("Explode", title="Bomb", output=True)
    def explode(image: Image, label: String = "x") -> Int:
        raise ValueError("boom")

    @node("Picture")
    def picture() -> Image:
        return torch.zeros(1, 2, 3, 3)

    prompt = {"1": constant("Picture"), "7": constant("Explode", image=["1", 0], label="fuse")}
    done = bench_of(picture, explode).run(prompt)
    error = done.error
    assert (done.outcome, error["code"], error["node"], error["node_type"]) == ("failed", "node_failed", "7", "Explode")
    assert (error["title"], error["exception_type"], error["exception_message"]) == ("Bomb", "ValueError", "boom")
    assert error["current_inputs"] == {"image": ["Tensor [1, 2, 3, 3] float32 on cpu"], "label": ["fuse"]}
    assert len(error["traceback"]) == 1
    assert "in explode" in error["traceback"][0]
    assert error["executed"] == ["1"]


def test_an_error_of_ours_keeps_code_hint_and_input(bench_of):
    @node("Refuse", output=True)
    def refuse() -> Int:
        raise NodeError("No.", code="no_such_thing", hint="Ask nicely.", input="please")

    error = bench_of(refuse).run({"1": constant("Refuse")}).error
    assert (error["code"], error["message"], error["hint"], error["input"], error["node"]) == (
        "no_such_thing", "No.", "Ask nicely.", "please", "1",
    )  # fmt: skip


def test_a_node_that_calls_exit_fails_and_the_worker_goes_on(bench_of):
    @node("Quit", output=True)
    def quit_now() -> Int:
        raise SystemExit(3)

    bench = bench_of(quit_now, number, show)
    assert bench.run({"1": constant("Quit")}).error["exception_type"] == "SystemExit"
    assert bench.run({"1": constant("Number"), "2": constant("Show", value=["1", 0])}).outcome == "succeeded"


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("no"), RuntimeError("CUDA out of memory.")])
def test_running_out_of_memory_is_typed_and_unloads_the_weights(bench_of, error):
    @node("Hungry", output=True)
    def hungry() -> Int:
        raise error

    bench = bench_of(hungry)
    done = bench.run({"1": constant("Hungry")})
    assert done.error["code"] == "out_of_memory"
    bench.wait_until(lambda: bench.models.num_freed == 1)


def test_a_blocker_stops_what_comes_after_it_only(bench_of):
    @node("Block")
    def block(value: Int = 0) -> Int:
        return Blocker(None)

    bench = bench_of(block, number, show)
    prompt = {
        "1": constant("Block"),
        "2": constant("Show", value=["1", 0]),
        "3": constant("Number", value=4),
        "4": constant("Show", value=["3", 0]),
    }
    done = bench.run(prompt, ["2", "4"])
    assert (done.outcome, shown(done)) == ("succeeded", {"4": ["4"]})


def test_only_the_wanted_lazy_branch_runs(bench_of):
    def wanted(first=None, second=None, which="first"):
        return [which] if {"first": first, "second": second}[which] is None else []

    @node("Switch", lazy=wanted)
    def switch(
        first: Annotated[AnyValue, Lazy()],
        second: Annotated[AnyValue, Lazy()],
        which: Literal["first", "second"] = "first",
    ) -> AnyValue:
        return first if which == "first" else second

    bench = bench_of(switch, number, show)
    prompt = {
        "1": constant("Number", value=1),
        "2": constant("Number", value=2),
        "3": constant("Switch", first=["1", 0], second=["2", 0], which="second"),
        "4": constant("Show", value=["3", 0]),
    }
    done = bench.run(prompt)
    assert (done.ran, shown(done)) == (["2", "3", "4"], {"4": ["2"]})


def test_a_lazy_check_that_asks_for_nothing_it_has_fails_by_name(bench_of):
    @node("Confused", output=True, lazy=lambda: ["nonsense"])
    def confused(value: Annotated[AnyValue, Lazy()]) -> AnyValue:
        return value

    done = bench_of(confused, number).run({"1": constant("Number"), "2": constant("Confused", value=["1", 0])})
    assert (done.outcome, done.error["node"]) == ("failed", "2")
    assert "'nonsense'" in done.error["message"]


def test_an_expansion_runs_its_nodes_and_hidden_graph_shows_them(bench_of):
    seen = []

    @node("Grow")
    def grow(ctx: Context, value: Int) -> tuple[Int]:
        new = {
            f"{ctx.node_id}.0.a": constant("Add", a=value, b=1),
            f"{ctx.node_id}.0.b": constant("Look", value=[f"{ctx.node_id}.0.a", 0]),
        }
        return NodeResult(values=([f"{ctx.node_id}.0.b", 0],), expand=GraphExpansion(new))

    @node("Look")
    def look(value: Int, graph: DynPrompt, me: Annotated[str, Hidden("UNIQUE_ID")]) -> Int:
        seen.append((me, graph.get_parent_node_id(me), graph.get_real_node_id(me), sorted(graph.all_node_ids())))
        return value * 10

    bench = bench_of(number, grow, add, look, show)
    prompt = {
        "1": constant("Number", value=4),
        "2": constant("Grow", value=["1", 0]),
        "3": constant("Show", value=["2", 0]),
    }
    assert shown(bench.run(prompt)) == {"3": ["50"]}
    assert seen == [("2.0.b", "2", "2", ["1", "2", "2.0.a", "2.0.b", "3"])]


def test_a_failing_generated_node_is_reported_under_its_origin(bench_of):
    @node("Grow", output=True)
    def grow(ctx: Context) -> NodeResult:
        return NodeResult(expand=GraphExpansion({f"{ctx.node_id}.x": constant("Explode")}))

    @node("Explode", output=True)
    def explode() -> Int:
        raise ValueError("inside")

    error = bench_of(grow, explode).run({"1": constant("Grow")}).error
    assert (error["node"], error["node_type"], error["details"]["generated_node"]) == ("1", "Grow", "1.x")


def test_an_expansion_of_unknown_types_is_refused(bench_of):
    @node("Grow", output=True)
    def grow(ctx: Context) -> NodeResult:
        return NodeResult(expand=GraphExpansion({"x": constant("Nothing")}))

    error = bench_of(grow).run({"1": constant("Grow")}).error
    assert (error["code"], "'Nothing'" in error["message"]) == ("bad_expansion", True)


def test_ui_output_of_all_list_items_is_joined(bench_of):
    bench = bench_of(numbers, show)
    done = bench.run({"1": constant("Numbers", count=3), "2": constant("Show", value=["1", 0])})
    assert done.outputs == {"2": {"text": ["0", "1", "2"]}}


def test_ui_output_without_a_json_form_fails_the_node(bench_of):
    @node("Bad", output=True)
    def bad() -> NodeResult:
        return NodeResult(ui={"thing": [object()]})

    assert bench_of(bad).run({"1": constant("Bad")}).error["code"] == "bad_ui_output"


# ------------------------------------------------------------------ files


@node("Save", output=True)
def save(ctx: Context, text: String, prefix: String = "out") -> NodeResult:
    ctx.save_file(
        text.encode(),
        prefix=prefix,
        extension="txt",
        media_type="text/plain",
        ui_key="files",
        width_px=4,
        batch_number=7,
    )
    return NodeResult(ui={"text": [text]})


def test_a_saved_file_is_staged_placed_and_shown(bench_of):
    bench = bench_of(save)
    done = bench.run({"1": constant("Save", text="hello", prefix="a_%width%_%batch_num%")})
    assert done.outputs["1"] == {
        "text": ["hello"],
        "files": [{"filename": "a_4_7_00001_.txt", "subfolder": "", "type": "output"}],
    }
    (staged,) = (m for m in bench.messages if isinstance(m, OutputsStaged))
    (file,) = staged.files
    assert (bench.folders.data / "staging" / file.staged).read_bytes() == b"hello"
    assert (file.prefix, file.size_bytes, file.ordinal) == ("a_4_7", 5, 0)


def test_files_of_list_items_are_numbered_through(bench_of):
    @node("Words", list_outputs=(True,))
    def words() -> String:
        return ["x", "y", "z"]

    bench = bench_of(words, save)
    done = bench.run({"1": constant("Words"), "2": constant("Save", text=["1", 0])})
    assert [entry["filename"] for entry in done.outputs["2"]["files"]] == [f"out_{n:05}_.txt" for n in (1, 2, 3)]


@pytest.mark.parametrize("prefix", ["../out", "/etc/out", "a/../../b", "C:\\x", "folder/", "", "nul\0"])
def test_a_prefix_that_leaves_the_folder_or_names_nothing_is_refused(bench_of, prefix):
    bench = bench_of(save)
    done = bench.run({"1": constant("Save", text="x", prefix=prefix)})
    assert done.outcome == "failed"
    assert done.error["code"] in ("path_outside_root", "bad_file_name")
    assert not any(isinstance(m, OutputsStaged) for m in bench.messages)


# ------------------------------------------------------------------ progress, texts, pictures


def test_progress_is_thinned_out_and_the_last_value_always_arrives(bench_of):
    @node("Busy", output=True)
    def busy(ctx: Context) -> Int:
        for step in range(1000):
            ctx.progress(step + 1, 1000)
        return 0

    bench = bench_of(busy)
    done = bench.run({"1": constant("Busy")})
    reports = bench.reports(done.job, "node_progress")
    assert reports[0] == {"node": "1", "display": "1", "parent": None, "real": "1", "value": 1.0, "max": 1000.0}
    assert reports[-1]["value"] == 1000.0
    assert len(reports) < 100


def test_texts_and_warnings_are_reported(bench_of):
    @node("Talk", output=True)
    def talk(ctx: Context) -> Int:
        ctx.text("hello")
        ctx.warn("careful")
        return 0

    bench = bench_of(talk)
    job = bench.run({"1": constant("Talk")}).job
    assert bench.reports(job, "node_text") == [{"node": "1", "text": "hello"}]
    assert bench.reports(job, "warning") == [{"node": "1", "message": "careful"}]


def test_previews_are_small_jpegs_and_only_sent_when_wanted(bench_of):
    @node("Preview", output=True)
    def preview(ctx: Context, seed: Int = 0) -> Int:
        for step in range(50):
            ctx.progress(step, 50, preview=torch.zeros(8, 16, 3))
        return 0

    bench = bench_of(preview)
    quiet = bench.run({"1": constant("Preview", seed=1)})
    assert bench.pictures(quiet.job) == []
    loud = bench.run({"1": constant("Preview", seed=2)}, preview_method="auto")
    pictures = bench.pictures(loud.job)
    assert 1 <= len(pictures) < 10
    assert pictures[0].media_type == "image/jpeg"
    assert pictures[0].data[:3] == b"\xff\xd8\xff"


def test_previews_that_are_made_when_shown_are_made_elsewhere_and_seldom(bench_of):
    threads = []

    @node("Look", output=True)
    def look(ctx: Context) -> Int:
        def picture() -> torch.Tensor:
            threads.append(threading.current_thread())
            return torch.zeros(8, 16, 3)

        for step in range(50):
            ctx.progress(step, 50, preview=picture)
        threads.append(threading.current_thread())
        return 0

    bench = bench_of(look)
    job = bench.run({"1": constant("Look")}, preview_method="taesd").job
    made = [thread for thread in threads if "pictures" in thread.name]
    assert 1 <= len(made) == len(bench.pictures(job)) < 10
    assert len(threads) == len(made) + 1


def test_a_preview_that_cannot_be_made_is_a_warning(bench_of):
    @node("Fail", output=True)
    def fail(ctx: Context) -> Int:
        ctx.progress(1, 2, preview=lambda: 1 / 0)
        return 0

    bench = bench_of(fail)
    done = bench.run({"1": constant("Fail")}, preview_method="auto")
    assert [report["message"] for report in bench.reports(done.job, "warning")] == [
        "A picture could not be shown: division by zero"
    ]


def test_full_pictures_arrive_in_order_before_the_node_is_finished(bench_of):
    @node("Send", output=True)
    def send(ctx: Context) -> Int:
        for index in range(5):
            ctx.send_image(torch.full((4, 4, 3), index / 5), index, 5)
        return 0

    bench = bench_of(send)
    job = bench.run({"1": constant("Send")}).job
    kinds = [getattr(m, "kind", type(m).__name__) for m in bench.messages if getattr(m, "job", "") == job]
    assert kinds.count("Preview") == 5
    assert max(i for i, kind in enumerate(kinds) if kind == "Preview") < kinds.index("node_finished")
    assert all(m.media_type == "image/png" and m.data[:4] == b"\x89PNG" for m in bench.pictures(job))


# ------------------------------------------------------------------ cancelling


def test_a_node_that_asks_is_cancelled(bench_of):
    started = threading.Event()

    @node("Loop", output=True)
    def loop(ctx: Context) -> Int:
        started.set()
        while True:
            ctx.check_cancelled()

    bench = bench_of(loop)
    job = bench.lease({"1": constant("Loop")})
    assert started.wait(60)
    bench.cancel(job)
    assert bench.wait_for(job).outcome == "cancelled"


def test_a_waiting_coroutine_is_cancelled_at_once(bench_of):
    started = threading.Event()

    @node("Sleep", output=True)
    async def sleep() -> Int:
        started.set()
        await asyncio.sleep(1000)
        return 0

    bench = bench_of(sleep)
    job = bench.lease({"1": constant("Sleep")})
    assert started.wait(60)
    bench.cancel(job)
    assert bench.wait_for(job).outcome == "cancelled"


def test_a_job_whose_node_finishes_after_the_cancel_is_cancelled_still(bench_of):
    started, finish = threading.Event(), threading.Event()

    @node("Slow", output=True)
    def slow() -> Int:
        started.set()
        finish.wait(60)
        return 1

    bench = bench_of(slow)
    job = bench.lease({"1": constant("Slow")})
    assert started.wait(60)
    bench.cancel(job)
    finish.set()
    assert bench.wait_for(job).outcome == "cancelled"


def test_a_generator_node_is_closed_when_its_job_is_cancelled(bench_of):
    from engine.diffusion.requests import Flow, RequestGroup

    started, closed = threading.Event(), threading.Event()

    @node("Forever", output=True)
    def forever(ctx: Context) -> Flow[Int]:
        try:
            while True:
                started.set()
                ctx.check_cancelled()
                yield RequestGroup(())
        finally:
            closed.set()

    bench = bench_of(forever)
    job = bench.lease({"1": constant("Forever")})
    assert started.wait(60)
    bench.cancel(job)
    assert bench.wait_for(job).outcome == "cancelled"
    assert closed.is_set()


def test_forwards_of_two_jobs_are_shared_unless_one_wants_to_be_alone(bench_of):
    from engine.diffusion.condition_inputs import ConditionInputs
    from engine.diffusion.requests import DenoiseRequest, Flow, RequestGroup
    from tests.gaussian_denoiser import GaussianDenoiser

    denoiser = GaussianDenoiser()
    is_held, release = threading.Event(), threading.Event()

    @node("Hold", output=True, lane="device")
    def hold(turn: Int) -> Int:
        is_held.set()
        release.wait(60)
        return turn

    @node("Sample", output=True)
    def sample(seed: Int) -> Flow[Int]:
        x = torch.full((1, 4, 2, 2), float(seed))
        for _ in range(8):
            (x,) = yield RequestGroup((DenoiseRequest(denoiser, x, 1.0, ConditionInputs()),))
        return seed

    bench = bench_of(hold, sample)

    def run_together(turn, **more):
        is_held.clear()
        release.clear()
        bench.lease({"1": constant("Hold", turn=turn)})
        assert is_held.wait(60)
        first = bench.lease({"1": constant("Sample", seed=turn)}, **more)
        second = bench.lease({"1": constant("Sample", seed=turn + 1)})
        bench.wait_until(lambda: bench.reports(second, "node_started"))
        release.set()
        return [bench.wait_for(job).stats for job in (first, second)]

    shared = run_together(10)
    assert [stats["forwards"] for stats in shared] == [8, 8]
    assert all(stats["shared_forwards"] > 0 for stats in shared)
    alone = run_together(20, alone=True)
    assert [stats["shared_forwards"] for stats in alone] == [0, 0]


def test_nodes_run_without_gradients(bench_of):
    @node("Grad", output=True)
    def grad(value: Int = 0) -> NodeResult:
        return NodeResult(ui={"text": [torch.is_inference_mode_enabled()]})

    assert shown(bench_of(grad).run({"1": constant("Grad")})) == {"1": [True]}


class Handle:
    """A model that notes when it is told to come."""

    def __init__(self):
        self.is_foreseen = threading.Event()

    def foresee(self):
        self.is_foreseen.set()


def test_models_of_a_waiting_job_are_told_to_come_while_the_device_works_for_another(bench_of):
    made, used, is_busy = Handle(), Handle(), threading.Event()

    @node("Load", lane="io")
    def load(name: String = "") -> AnyValue:
        return {"made": made, "used": used}[name]

    @node("Compute", lane="device", output=True)
    def compute(value: AnyValue, seconds: Int = 0) -> NodeResult:
        is_busy.set()
        has_come = seconds == 0 or (made.is_foreseen.wait(seconds) and used.is_foreseen.wait(seconds))
        return NodeResult(ui={"text": [str(has_come)]})

    bench = bench_of(load, compute, number, show)
    alone = {"1": constant("Load", name="used"), "2": constant("Compute", value=["1", 0])}
    assert bench.run(alone).outcome == "succeeded"
    assert not used.is_foreseen.is_set()
    is_busy.clear()
    first = bench.lease({"1": constant("Number", value=1), "2": constant("Compute", value=["1", 0], seconds=60)})
    assert is_busy.wait(60)
    bench.lease({"1": constant("Load", name="made"), "2": constant("Show", value=["1", 0])})
    bench.lease({"1": constant("Load", name="used"), "2": constant("Compute", value=["1", 0], seconds=1)})
    assert shown(bench.wait_for(first)) == {"2": ["True"]}
