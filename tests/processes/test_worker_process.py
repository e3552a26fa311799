"""A real worker process: what it publishes, how it survives its nodes, and that it never outlives its server."""

import os
import signal
import struct
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest

from engine.core.folders import Folders, default_model_folders
from engine.core.settings import CacheSettings, Settings
from engine.protocol.codec import encode
from engine.protocol.messages import (
    CancelJob,
    CatalogPublished,
    CheckPrompt,
    CheckReply,
    FreeMemory,
    JobDone,
    JobReport,
    Ping,
    Pong,
    RefreshCatalog,
    Shutdown,
    Start,
    WorkerReady,
)
from tests.processes.worker_driver import ROOT, WorkerDriver

PACK = """
import ctypes, os, subprocess, sys, threading, time
from engine.api import AnyValue, Context, Int, NodeResult, String, node


@node("Join")
def join(a: String, b: String = "") -> String:
    return a + b


@node("Show", output=True)
def show(value: AnyValue) -> NodeResult:
    return NodeResult(ui={"text": [str(value)]})


@node("Slow", output=True)
def slow(seconds: Int = 0) -> Int:
    time.sleep(seconds)
    return seconds


@node("Save", output=True)
def save(ctx: Context, text: String) -> None:
    ctx.save_file(text.encode(), prefix="saved", extension="txt", media_type="text/plain", ui_key="files")


@node("Loud", output=True)
def loud() -> NodeResult:
    print("printed by a node")
    os.write(1, b"written to descriptor 1\\n")
    subprocess.run([sys.executable, "-c", "print('printed by a child'); import sys; print(repr(sys.stdin.read()))"])
    return NodeResult(ui={"text": [repr(sys.stdin.read())]})


@node("Crash", output=True)
def crash(value: Int = 0) -> Int:
    os.kill(os.getpid(), 9)


@node("Never", output=True)
def never(ctx: Context) -> Int:
    ctx.text("running")
    threading.Event().wait()


@node("Patient", output=True)
def patient(ctx: Context) -> Int:
    ctx.text("running")
    while True:
        ctx.check_cancelled()
        time.sleep(0.01)


@node("HoldGil", output=True)
def hold_gil(ctx: Context) -> Int:
    ctx.text("running")
    ctypes.PyDLL(None).sleep(600)


def _check(value):
    if value == 13:
        return "thirteen is unlucky"
    return 1 // value > -1


@node("Checked", output=True, validate=_check)
def checked(value: Int = 0) -> Int:
    return value


@node("Costly")
def costly(value: Int = 0) -> Int:
    time.sleep(0.05)
    return value + 1


@node("SlowDisk", output=True, lane="io")
def slow_disk(number: Int = 0) -> Int:
    time.sleep(1)
    return number
"""


OLD_PACK = """
import folder_paths, nodes


class OldGreeting:
    RETURN_TYPES, FUNCTION, CATEGORY, OUTPUT_NODE = ("STRING",), "greet", "old", True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"name": ("STRING", {"default": "you"})}, "hidden": {"me": "UNIQUE_ID"}}

    @classmethod
    def VALIDATE_INPUTS(cls, name):
        return True if name else "who?"

    def greet(self, name, me):
        text = f"{me}: hello {name}, at most {nodes.MAX_RESOLUTION}"
        return {"ui": {"text": [text]}, "result": (text,)}


NODE_CLASS_MAPPINGS = {"OldGreeting": OldGreeting}
"""


def make_settings(tmp_path):
    for name in ("input", "output", "temp", "user", "custom_nodes/pack", "custom_nodes/old", "models"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "custom_nodes" / "pack" / "__init__.py").write_text(PACK)
    (tmp_path / "custom_nodes" / "old" / "__init__.py").write_text(OLD_PACK)
    packs = (tmp_path / "custom_nodes",)
    folders = Folders(
        base=tmp_path,
        input=tmp_path / "input",
        output=tmp_path / "output",
        temp=tmp_path / "temp",
        user=tmp_path / "user",
        custom_nodes=packs,
        models=default_model_folders(tmp_path / "models", tmp_path / "output", packs),
    )
    return Settings(folders=folders)


@pytest.fixture
def settings(tmp_path):
    return make_settings(tmp_path)


@pytest.fixture(scope="module")
def shared_settings(tmp_path_factory):
    """Settings of the worker for all tests that leave it as it was."""
    return make_settings(tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="module")
def worker(shared_settings):
    """A worker for all tests that leave it as it was; each test uses job ids of its own."""
    driver = WorkerDriver(shared_settings)
    driver.ready()
    yield driver
    driver.close()


@pytest.fixture
def start(settings):
    drivers = []

    def begin(**options):
        driver = WorkerDriver(options.pop("settings", settings), **options)
        drivers.append(driver)
        return driver

    yield begin
    for driver in drivers:
        driver.close()


def constant(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


NUM_IO_THREADS = 4
"""As many nodes as this at work with files keep the value of another from being written for a while."""

TWO_TEXTS = {
    "1": constant("StringConcatenate", string_a="built", string_b="in", delimiter="-"),
    "2": constant("Join", a=["1", 0], b=" and a pack"),
    "3": constant("Show", value=["2", 0]),
}


def test_a_worker_publishes_its_catalog_runs_a_graph_and_keeps_the_result(start):
    worker = start()
    ready = worker.ready()
    (catalog,) = worker.catalogs()
    names = {spec["name"]: spec for spec in catalog.specs}
    assert {"StringConcatenate", "Join"} <= set(names)
    assert (names["Join"]["pack"], names["StringConcatenate"]["pack"]) == ("pack", "nodes")
    assert {report.name: report.error for report in catalog.packs} == {"nodes": "", "old": "", "pack": ""}
    assert ready.device["type"] == "cpu"
    assert ready.device["vram_total"] > 0
    assert ready.versions["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}")
    first = worker.run("a", TWO_TEXTS)
    assert (first.outcome, first.ran, first.outputs) == (
        "succeeded", ["1", "2", "3"], {"3": {"text": ["built-in and a pack"]}},
    )  # fmt: skip
    second = worker.run("b", {f"9{key}": value for key, value in renumbered(TWO_TEXTS).items()})
    assert (second.ran, sorted(second.cached)) == ([], ["91", "92", "93"])
    worker.send(Shutdown())
    assert worker.wait() == 0


def renumbered(prompt):
    def moved(value):
        return [f"9{value[0]}", value[1]] if isinstance(value, list) else value

    return {
        key: {**record, "inputs": {name: moved(value) for name, value in record["inputs"].items()}}
        for key, record in prompt.items()
    }


def test_what_nodes_and_their_children_print_goes_to_stderr_and_stdin_is_empty(worker):
    done = worker.run("loud5-a", {"1": constant("Loud")})
    assert done.outputs == {"1": {"text": ["''"]}}
    for line in (b"printed by a node", b"written to descriptor 1", b"printed by a child"):
        worker.until_printed(line)


def test_a_crashing_node_takes_only_its_worker(start):
    worker = start()
    worker.ready()
    worker.lease("a", {"1": constant("Crash")})
    assert worker.wait() == -signal.SIGKILL
    assert not any(isinstance(message, JobDone) for message in worker.messages)


def test_a_node_that_never_returns_leaves_the_worker_answering_and_ending(start):
    worker = start()
    worker.ready()
    worker.lease("stuck", {"1": constant("Never")})
    worker.next(JobReport, kind="node_text")
    worker.send(CancelJob("stuck"))
    worker.send(Ping(5))
    pong = worker.next(Pong)
    assert (pong.number, pong.jobs) == (5, ["stuck"])
    assert pong.ram_bytes > 1 << 20
    assert worker.run("other", TWO_TEXTS).outcome == "succeeded"
    worker.send(Shutdown())
    assert worker.wait() == 0


def test_a_cancelled_node_that_asks_ends_its_job(worker):
    worker.lease("a8-a", {"1": constant("Patient")})
    worker.next(JobReport, kind="node_text")
    worker.send(CancelJob("a8-a"))
    assert worker.next(JobDone).outcome == "cancelled"


def test_a_worker_dies_at_the_end_of_its_input_even_while_a_node_runs(start):
    worker = start()
    worker.ready()
    worker.lease("a", {"1": constant("Never")})
    worker.next(JobReport, kind="node_text")
    worker.process.stdin.close()
    assert worker.wait() == 0


PARENT = """
import sys
sys.path.insert(0, {root!r})
from tests.processes.worker_driver import WorkerDriver
from engine.core.settings import settings_from_json
from engine.protocol.messages import JobReport
import json
worker = WorkerDriver(settings_from_json(json.loads({settings!r})))
worker.ready()
worker.lease("a", {{"1": {{"class_type": "HoldGil", "inputs": {{}}}}}})
worker.next(JobReport, kind="node_text")
print(worker.process.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is a Linux service")
def test_a_worker_whose_node_holds_the_interpreter_lock_dies_with_its_server(settings):
    import json

    from engine.core.settings import settings_to_json

    text = json.dumps(settings_to_json(settings))
    script = PARENT.format(root=str(ROOT), settings=text)
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        parent.wait(120)
        worker.wait(120)
        assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
    finally:
        parent.kill()
        parent.wait(120)
        parent.stdin.close()
        parent.stdout.close()


def test_ctrl_c_is_left_to_the_server(worker):
    os.kill(worker.process.pid, signal.SIGINT)
    assert worker.run("ctrl12-a", TWO_TEXTS).outcome == "succeeded"


def test_torch_is_not_imported_before_the_first_frame(settings):
    code = "import sys, engine.worker.main as m; print('torch' in sys.modules, 'numpy' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.split() == ["False", "False"]


def test_a_known_catalog_is_confirmed_before_anything_is_imported(start):
    first = start()
    first.ready()
    (catalog,) = first.catalogs()
    second = start(known_catalog=catalog.digest)
    second.ready()
    quick, after_loading = second.catalogs()
    assert (quick.digest, quick.specs, quick.packs) == (catalog.digest, [], [])
    assert (after_loading.digest, after_loading.specs) == (catalog.digest, [])
    assert [report.name for report in after_loading.packs] == ["nodes", "old", "pack"]


def test_an_edited_pack_is_published_anew(start, settings):
    first = start()
    first.ready()
    (old,) = first.catalogs()
    source = settings.folders.base / "custom_nodes" / "pack" / "__init__.py"
    source.write_text(PACK.replace('@node("Join")', '@node("Glue")'))
    second = start(known_catalog=old.digest)
    second.ready()
    (new,) = second.catalogs()
    names = {spec["name"] for spec in new.specs}
    assert "Glue" in names
    assert "Join" not in names
    assert new.digest != old.digest
    second.send(RefreshCatalog())
    again = second.next(CatalogPublished)
    assert (again.digest, again.specs) == (new.digest, [])


def test_saved_files_are_placed_before_the_node_finishes(worker, shared_settings):
    done = worker.run("save16-a", {"1": constant("Save", text="hello")})
    assert done.outputs == {"1": {"files": [{"filename": "saved.txt", "subfolder": "", "type": "output"}]}}
    (staged,) = (shared_settings.folders.data / "staging").iterdir()
    assert staged.read_bytes() == b"hello"


def test_a_costly_value_survives_a_restart_although_the_disk_was_busy_when_the_worker_was_told_to_end(start):
    prompt = {"1": constant("Costly", value=41), "2": constant("Show", value=["1", 0])}
    busy = {str(number): constant("SlowDisk", number=number) for number in range(NUM_IO_THREADS)}
    first = start()
    first.ready()
    first.lease("busy", busy, list(busy))
    for _ in busy:
        first.next(JobReport, job="busy", kind="node_started")
    assert first.run("a", prompt).ran == ["1", "2"]
    first.send(Shutdown())
    first.process.stdin.close()
    assert first.wait() == 0
    assert "not written to disk" not in first.stderr.decode()
    second = start()
    second.ready()
    done = second.run("b", prompt)
    assert (done.ran, done.outputs) == (["2"], {"2": {"text": ["42"]}})


def test_freed_memory_makes_nodes_run_again(worker):
    worker.run("freed18-a", TWO_TEXTS)
    worker.send(FreeMemory(unload_models=True, drop_cache=True))
    assert worker.run("freed18-b", TWO_TEXTS).ran == ["1", "2", "3"]


def test_nothing_is_kept_when_the_cache_is_off(start, settings):
    worker = start(settings=replace(settings, cache=CacheSettings(mode="none")))
    worker.ready()
    worker.run("a", TWO_TEXTS)
    assert worker.run("b", TWO_TEXTS).ran == ["1", "2", "3"]


def test_validators_are_run_on_request(worker):
    prompt = {str(value): constant("Checked", value=value) for value in (1, 13, 0)}
    worker.send(CheckPrompt(3, prompt, list(prompt)))
    reply = worker.next(CheckReply)
    assert reply.request == 3
    unlucky, failed = reply.complaints
    assert (unlucky["node"], unlucky["code"], unlucky["details"], unlucky["input"]) == (
        "13", "custom_validation_failed", "value - thirteen is unlucky", "value",
    )  # fmt: skip
    assert (failed["node"], failed["code"], failed["extra"]["exception_type"]) == (
        "0", "exception_during_validation", "ZeroDivisionError",
    )  # fmt: skip


def test_a_pack_in_the_old_form_runs_and_validates(worker):
    done = worker.run("old", {"7": constant("OldGreeting", name="Ada")})
    assert done.outputs == {"7": {"text": ["7: hello Ada, at most 16384"]}}
    worker.send(CheckPrompt(4, {"7": constant("OldGreeting", name="")}, ["7"]))
    (complaint,) = worker.next(CheckReply, request=4).complaints
    assert complaint["details"] == "name - who?"


def test_jobs_run_side_by_side(worker):
    worker.lease("jobs21-slow", {"1": constant("Patient")})
    worker.next(JobReport, kind="node_text")
    for number in range(5):
        assert worker.run(f"jobs21-quick-{number}", TWO_TEXTS).outcome == "succeeded"
    worker.send(CancelJob("jobs21-slow"))
    assert worker.next(JobDone, job="jobs21-slow").outcome == "cancelled"


def test_a_renewed_lease_goes_on_under_the_new_epoch(worker):
    worker.lease("a22-a", {"1": constant("Patient")}, epoch=1)
    worker.next(JobReport, kind="node_text")
    worker.lease("a22-a", {"1": constant("Patient")}, epoch=2)
    worker.send(CancelJob("a22-a"))
    assert worker.next(JobDone).epoch == 2


def test_shutdown_with_grace_lets_a_running_job_end(start):
    worker = start()
    worker.ready()
    worker.lease("a", {"1": constant("Slow", seconds=1)})
    worker.next(JobReport, kind="node_started")
    worker.send(Shutdown(30.0))
    assert worker.next(JobDone).outcome == "succeeded"
    assert worker.wait() == 0


def test_a_prompt_that_cannot_be_read_fails_its_job_alone(worker):
    done = worker.run("a24-bad", {"1": 5}, ["1"])
    assert (done.outcome, done.error["code"]) == ("failed", "bad_prompt")
    unknown = worker.run("a24-unknown", {"1": constant("NoSuchNode")})
    assert unknown.outcome == "failed"
    assert worker.run("a24-good", TWO_TEXTS).outcome == "succeeded"


@pytest.mark.parametrize(
    "frame", [b"\0\0\0\5junk!", struct.pack(">I", 0xFFFFFFFF), encode(Ping(1))], ids=["junk", "huge", "ping"]
)
def test_a_first_frame_that_is_no_start_ends_the_worker(start, frame):
    worker = start(is_started=False)
    worker.process.stdin.write(frame)
    worker.process.stdin.flush()
    assert worker.wait() == 71


@pytest.mark.parametrize("frame", [b"\0\0\0\5junk!", encode(Start("w", {}))], ids=["junk", "second start"])
def test_a_bad_frame_later_ends_the_worker(start, frame):
    worker = start()
    worker.ready()
    worker.process.stdin.write(frame)
    worker.process.stdin.flush()
    assert worker.wait() == 71


def test_a_worker_answers_pings_while_it_still_loads(start, settings):
    source = settings.folders.base / "custom_nodes" / "pack" / "__init__.py"
    source.write_text(PACK + "\ntime.sleep(1)\n")
    worker = start()
    worker.send(Ping(1))
    assert worker.next(Pong).number == 1
    assert not any(isinstance(message, WorkerReady) for message in worker.messages)
    worker.ready()
