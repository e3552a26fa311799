"""A real server process part with a real (toy) worker process: jobs, cancels, crashes, order, drain."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time

import pytest
import pytest_asyncio

from engine.core.errors import SettingsError
from engine.core.ids import JobId
from engine.core.settings import MemorySettings
from engine.server.composition import running_engine
from engine.server.records import QUEUED, TERMINAL_STATES, JobRequest
from tests.server_harness import FAKE_WORKER, chain, hurry, running, settings_in, toy, write


async def ended(server, job: str, seconds: float = 60) -> dict:
    status, record = await server.call("GET", f"/jobs/{job}/wait?seconds={seconds}")
    assert status == 200
    return record


async def test_a_submit_can_wait_for_the_outputs(server):
    job = await server.submit(write("x", prefix="deep/toy", count=2), wait=60)
    assert job["state"] == "succeeded"
    names = [(image["subfolder"], image["filename"]) for image in job["outputs"]["1"]["images"]]
    assert names == [("deep", "toy_00001_.png"), ("deep", "toy_00002_.png")]


async def test_files_are_listed_by_the_workflow_they_came_from_after_their_job_is_forgotten(server):
    for name in ("boats", "trees"):
        await server.submit(write(name, prefix=name), extra={"workflow_name": name}, wait=60)
    assert (await server.call("DELETE", "/history"))[0] == 200
    assert await server.call("GET", "/assets/origins") == (200, {"workflows": ["boats", "trees"], "models": []})
    for query in ("workflow=trees", "text=TREES+trees"):
        status, found = await server.call("GET", f"/assets?{query}")
        assert (status, [item["filename"] for item in found]) == (200, ["trees_00001_.png"])
    assert await server.call("GET", "/assets?model=trees") == (200, [])


async def test_equal_graphs_are_cached_and_the_server_says_so(server):
    first = await server.submit(chain(5), wait=60)
    second = await server.submit(chain(5), wait=60)
    assert (first["ran"], first["cached"]) == (["0", "1", "2", "3", "4"], [])
    assert (second["ran"], second["cached"]) == ([], ["0", "1", "2", "3", "4"])
    status, why = await server.call("GET", f"/jobs/{first['id']}/why")
    assert (status, why["reasons"]["0"]) == (200, {"reason": "never_run"})


async def test_a_read_job_says_what_its_nodes_took_and_a_listed_one_does_not(server):
    job = await server.submit(chain(2), wait=60)
    status, record = await server.call("GET", f"/jobs/{job['id']}")
    assert (status, sorted(record["stats"]["node_bytes"])) == (200, ["0", "1"])
    status, page = await server.call("GET", "/jobs")
    assert "stats" not in page["jobs"][0]


async def test_all_complaints_come_at_once_as_data(server):
    prompt = {
        "1": {"class_type": "Sleep", "inputs": {"seconds": "much"}},
        "2": {"class_type": "Write", "inputs": {"prefix": "x", "text": "x", "count": 0}},
    }
    status, answer = await server.call("POST", "/jobs", json={"prompt": prompt})
    assert status == 422
    assert answer["error"]["code"] == "graph_refused"
    found = {(item["node"], item["input"]) for item in answer["error"]["details"]["complaints"]}
    assert found >= {("1", "seconds"), ("2", "count")}


async def test_outputs_that_are_fit_run_beside_complaints_about_others(server):
    prompt = {**toy("Show", text="ok"), "2": write("x", count=0)["1"]}
    status, answer = await server.call("POST", "/jobs", json={"prompt": prompt, "wait": 60})
    assert status == 201
    assert answer["job"]["targets"] == ["1"]
    assert answer["job"]["outputs"] == {"1": {"text": ["ok"]}}
    assert [item["node"] for item in answer["complaints"]] == ["2"]


async def test_validators_that_exist_as_code_are_asked(server):
    await server.submit(toy("Picky", text="good"), wait=60)
    status, answer = await server.call("POST", "/jobs", json={"prompt": toy("Picky", text="bad")})
    assert status == 422
    assert answer["error"]["details"]["complaints"][0]["code"] == "custom_validation_failed"


async def test_a_failing_node_fails_its_job_with_the_place(server):
    job = await server.submit(toy("Fail", text="no luck"), wait=60)
    assert (job["state"], job["error"]["message"], job["error"]["node"]) == ("failed", "no luck", "1")


@pytest.mark.parametrize(
    ("prefix", "code"), [("taken/p", "output_not_placed"), ("n" * 300 + "/p", "output_not_placed")]
)
async def test_a_file_that_cannot_be_named_fails_its_job_alone(server, prefix, code):
    (server.engine.services.settings.folders.output / "taken").write_bytes(b"a file, no folder")
    job = await server.submit(write("x", prefix=prefix), wait=60)
    assert (job["state"], job["error"]["code"]) == ("failed", code)
    assert (await server.submit(write("y"), wait=60))["state"] == "succeeded"


async def test_a_report_that_cannot_be_stored_fails_its_job_alone(server):
    beside = await server.submit(toy("Sleep", seconds=300.0))
    await wait_until(server, beside["id"], "running")
    job = await server.submit(write("x", extension="\ud800"), wait=60)
    assert (job["state"], job["error"]["code"]) == ("failed", "message_refused")
    hurry(server)
    assert (await ended(server, beside["id"]))["state"] == "succeeded"


async def test_a_poison_job_is_quarantined_and_the_queue_goes_on(server):
    poison = await server.submit(toy("Crash"))
    good = [await server.submit(toy("Show", text=str(number))) for number in range(5)]
    record = await ended(server, poison["id"])
    assert (record["state"], record["attempts"]) == ("quarantined", 3)
    assert [(crash["signal"], crash["last_node"]) for crash in record["crashes"]] == [("SIGKILL", "1")] * 3
    assert [(await ended(server, job["id"]))["state"] for job in good] == ["succeeded"] * 5


async def test_five_poison_jobs_among_good_ones_stop_nobody(server):
    jobs = []
    for number in range(30):
        jobs.append((number % 6 == 3, await server.submit(toy("Crash") if number % 6 == 3 else write(str(number)))))
    for is_poison, job in jobs:
        assert (await ended(server, job["id"], 120))["state"] == ("quarantined" if is_poison else "succeeded")
    assert len(list((server.engine.services.settings.folders.output).glob("*.png"))) == 25


async def test_a_crash_that_does_not_repeat_costs_an_attempt_only(server, tmp_path):
    job = await server.submit(toy("CrashOnce", marker=str(tmp_path / "marker")), wait=60)
    assert (job["state"], job["attempts"], len(job["crashes"])) == ("succeeded", 2, 1)


async def test_a_node_that_never_returns_is_cancelled_by_force_and_the_next_job_runs(server):
    stuck = await server.submit(toy("Hold"))
    await wait_until(server, stuck["id"], "running")
    beside = await server.submit(toy("Sleep", seconds=1.5))
    await wait_until(server, beside["id"], "running")
    status, record = await server.call("POST", f"/jobs/{stuck['id']}/cancel")
    assert (status, record["cancel_requested"]) == (202, True)
    assert (await ended(server, stuck["id"]))["state"] == "cancelled"
    bystander = await ended(server, beside["id"])
    assert (bystander["state"], bystander["crashes"]) == ("succeeded", [])
    assert (await server.submit(toy("Show", text="next"), wait=60))["state"] == "succeeded"


async def test_a_node_that_holds_the_interpreter_lock_is_cancelled_and_the_server_answers_meanwhile(server):
    stuck = await server.submit(toy("Spin", seconds=60.0))
    await wait_until(server, stuck["id"], "running")
    await server.call("POST", f"/jobs/{stuck['id']}/cancel")
    assert await server.call("GET", "/system/health") == (200, {"status": "ok"})
    assert (await ended(server, stuck["id"]))["state"] == "cancelled"


@pytest_asyncio.fixture
async def patient_server(tmp_path):
    """A server that kills no worker for being slow with a cancel."""
    async with running(settings_in(tmp_path, cancel_grace_s=60.0)) as found:
        yield found


async def test_a_cooperative_cancel_leaves_the_worker_alive(patient_server):
    server = patient_server
    job = await server.submit(toy("Sleep", seconds=600.0))
    await wait_until(server, job["id"], "running")
    pid = server.engine.services.workers.infos()[0].pid
    await server.call("POST", f"/jobs/{job['id']}/cancel")
    assert (await ended(server, job["id"]))["state"] == "cancelled"
    assert server.engine.services.workers.infos()[0].pid == pid


async def wait_until(server, job: str, state: str) -> None:
    """Return when the job is in this state, or has ended meanwhile."""
    while (await server.engine.get(JobId(job))).state not in (state, *TERMINAL_STATES):
        await asyncio.sleep(0.01)


async def test_cancels_at_random_moments_touch_only_the_named_job(patient_server):
    server = patient_server
    chance = random.Random(7)
    jobs = [(await server.submit(toy("Sleep", seconds=chance.choice([0.0, 0.01]))))["id"] for _ in range(200)]
    named = set(chance.sample(jobs, 100))

    async def cancel(job: str) -> None:
        await asyncio.sleep(chance.random() * 2)
        assert (await server.call("POST", f"/jobs/{job}/cancel"))[0] in (200, 202)

    await asyncio.gather(*(cancel(job) for job in named))
    for job in jobs:
        record = await ended(server, job, 60)
        assert record["state"] in (("cancelled", "succeeded") if job in named else ("succeeded",))
        events = await server.engine.events(JobId(job))
        assert sum(event.kind in ("job_cancelled", "job_succeeded") for event in events) == 1


ODD_WORKER = """
import os, pathlib, sys
from engine.protocol.codec import encode
from engine.protocol.messages import CatalogPublished

if not pathlib.Path(sys.argv[1]).exists():
    pathlib.Path(sys.argv[1]).touch()
    os.write(1, encode(CatalogPublished("d", [{"surprise": 1}], [])))
    os.read(0, 1 << 20)
    os.read(0, 1)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


async def test_a_worker_whose_catalog_cannot_be_read_is_replaced(tmp_path):
    worker = (sys.executable, "-c", ODD_WORKER, str(tmp_path / "marker"), *FAKE_WORKER[1:])
    async with running(settings_in(tmp_path), worker) as server:
        job = await server.submit(toy("Show", text="a"))
        _, record = await server.call("GET", f"/jobs/{job['id']}/wait?seconds=60")
        assert record["state"] == "succeeded"
        (info,) = server.engine.services.workers.infos()
        assert info.last_end["killed_for"] == "bad_message"


async def test_a_paused_queue_starts_nothing_until_it_is_resumed(server):
    await server.call("POST", "/queue/pause")
    job = await server.submit(toy("Show", text="x"))
    assert (await ended(server, job["id"], 0.3))["state"] == QUEUED
    assert (await server.call("GET", "/queue"))[1] == {"pending": 1, "running": 0, "paused": True}
    await server.call("POST", "/queue/resume")
    assert (await ended(server, job["id"]))["state"] == "succeeded"


async def test_the_front_of_the_queue_and_priorities_decide_who_starts_next(server):
    await server.call("POST", "/queue/pause")
    names = {}
    for name, options in {"a": {}, "b": {}, "front": {"front": True}, "urgent": {"priority": 3}}.items():
        names[(await server.submit(toy("Show", text=name), alone=True, **options))["id"]] = name
    moved = next(job for job, name in names.items() if name == "b")
    assert (await server.call("POST", f"/jobs/{moved}/move", json={"front": True}))[0] == 200
    await server.call("POST", "/queue/resume")
    records = [await ended(server, job) for job in names]
    records.sort(key=lambda record: record["started_s"])
    assert [names[record["id"]] for record in records] == ["urgent", "b", "front", "a"]


async def test_a_waiting_job_is_put_directly_before_another_one_with_its_priority(server):
    await server.call("POST", "/queue/pause")
    options = {"urgent": {"priority": 3}, "a": {}, "b": {}, "c": {}}
    ids = {name: (await server.submit(toy("Show", text=name), **more))["id"] for name, more in options.items()}

    async def move(job, before):
        status, _ = await server.call("POST", f"/jobs/{ids[job]}/move", json={"before": ids.get(before, before)})
        jobs = (await server.call("GET", "/jobs?state=queued&order=queue"))[1]["jobs"]
        names = {job: name for name, job in ids.items()}
        return status, [names[job["id"]] for job in jobs]

    assert await move("c", "b") == (200, ["urgent", "a", "c", "b"])
    assert await move("b", "c") == (200, ["urgent", "a", "b", "c"])
    assert await move("c", "a") == (200, ["urgent", "c", "a", "b"])
    assert await move("b", "urgent") == (200, ["b", "urgent", "c", "a"])
    assert await move("urgent", "a") == (200, ["b", "c", "urgent", "a"])
    assert (await move("a", "nobody"))[0] == 404
    await server.call("POST", f"/jobs/{ids['b']}/cancel")
    assert (await move("a", "b"))[0] == 409


async def test_clearing_the_queue_cancels_what_waits(server):
    await server.call("POST", "/queue/pause")
    jobs = [(await server.submit(toy("Show", text=str(number))))["id"] for number in range(3)]
    status, answer = await server.call("POST", "/queue/clear")
    assert (status, sorted(answer["jobs"])) == (200, sorted(jobs))
    assert (await server.call("GET", "/jobs?state=queued"))[1]["total"] == 0


async def test_an_event_stream_resumes_after_any_number(server):
    job = await server.submit(write("x"), wait=60)
    full = await stream(server, job["id"])
    assert [seq for seq, _ in full] == list(range(1, len(full) + 1))
    assert full[-1][1] == "job_succeeded"
    for cut in range(len(full)):
        assert await stream(server, job["id"], {"Last-Event-ID": str(cut)}) == full[cut:]


async def test_a_live_event_stream_misses_and_repeats_nothing(server):
    await server.call("POST", "/queue/pause")
    jobs = [(await server.submit(write(str(number))))["id"] for number in range(20)]
    streams = [asyncio.create_task(stream(server, job)) for job in jobs]
    await asyncio.sleep(0.1)
    await server.call("POST", "/queue/resume")
    for job, live in zip(jobs, await asyncio.gather(*streams), strict=True):
        stored = await server.engine.events(JobId(job))
        assert [entry for entry in live if entry[0]] == [(event.seq, event.kind) for event in stored]


async def stream(server, job: str, headers: dict | None = None) -> list[tuple[int, str]]:
    found = []
    url = f"{server.url}/api/v1/jobs/{job}/events"
    async with server.session.get(url, headers={"Accept": "text/event-stream", **(headers or {})}) as reply:
        assert reply.status == 200
        for block in (await reply.text()).split("\n\n"):
            data = [line[6:] for line in block.splitlines() if line.startswith("data: ")]
            if data:
                record = json.loads(data[0])
                found.append((record["seq"], record["kind"]))
    return found


async def test_progress_is_shown_live_and_not_stored(server):
    with server.engine.subscribe(lambda item: getattr(item, "kind", "") == "node_progress") as live:
        job = await server.submit(toy("Progress", steps=500), wait=60)
        values = []
        while live.has_items:
            values.append((await live.get()).data["value"])
    assert values == sorted(values)
    assert values[-1] == 500
    assert "node_progress" not in [event.kind for event in await server.engine.events(JobId(job["id"]))]


async def test_previews_reach_listeners(server):
    with server.engine.subscribe(lambda item: hasattr(item, "media_type")) as live:
        job = await server.submit(toy("Preview"), client_id="me", wait=60)
        picture = await live.get()
    assert (picture.job, picture.client_id, picture.media_type) == (job["id"], "me", "image/png")
    assert picture.data.startswith(b"\x89PNG")


async def test_an_unfinished_picture_is_read_after_the_event_that_tells_of_it(server):
    paint = toy("Paint", text="x", steps=1, seconds=300.0)
    job = await server.submit(paint, extra={"preview_method": "auto"})
    address = f"/jobs/{job['id']}/previews/1"
    kinds = []
    async for event in server.engine.follow(JobId(job["id"])):
        kinds.append(event.kind)
        if event.kind == "node_preview":
            async with server.session.get(f"{server.url}/api/v1{address}?at={event.time_s}") as reply:
                assert (reply.status, reply.content_type) == (200, "image/png")
            hurry(server)
    assert kinds.count("node_preview") == 1
    assert (await server.call("GET", f"{address}0"))[0] == 404
    quiet = await server.submit(toy("Paint", text="y", steps=1, seconds=0.0), wait=60)
    assert quiet["state"] == "succeeded"
    assert "node_preview" not in [event.kind for event in await server.engine.events(JobId(quiet["id"]))]


async def test_a_forecast_says_what_would_run_and_what_is_cached_and_starts_nothing(server):
    paint = toy("Paint", text="x", steps=1, seconds=0.0)
    assert await server.engine.services.workers.wait_ready(20)
    status, before = await server.call("POST", "/forecast", json={"prompt": paint})
    run = {"node": "1", "reason": {"reason": "first_run"}, "seconds": 0.0}
    assert (status, before) == (200, {"can_run": True, "cached": [], "runs": [run], "seconds": 0.0})
    assert (await server.call("GET", "/jobs"))[1]["total"] == 0
    await server.submit(paint, wait=60)
    _, after = await server.call("POST", "/forecast", json={"prompt": paint})
    assert (after["cached"], after["runs"], after["seconds"]) == (["1"], [], 0.0)
    _, unknown = await server.call("POST", "/forecast", json={"prompt": toy("Show", text="x")})
    assert unknown["seconds"] is None
    _, refused = await server.call("POST", "/forecast", json={"prompt": toy("Sleep", seconds="much")})
    assert refused["can_run"] is False


async def test_a_stopping_server_hands_running_jobs_back_without_an_attempt(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.server.composition.DRAIN_GRACE_S", 0.2)
    async with running(settings_in(tmp_path)) as server:
        job = (await server.submit(toy("Sleep", seconds=3600.0)))["id"]
        await wait_until(server, job, "running")
    async with running(settings_in(tmp_path)) as server:
        await server.engine.pause()
        events = [(event.kind, event.data.get("reason")) for event in await server.engine.events(JobId(job))]
        assert ("job_requeued", "server_stopped") in events
        await server.call("POST", f"/jobs/{job}/cancel")


async def test_a_job_that_ends_while_the_server_drains_has_ended(tmp_path):
    async with running(settings_in(tmp_path)) as server:
        job = (await server.submit(toy("Sleep", seconds=0.5)))["id"]
        await wait_until(server, job, "running")
    async with running(settings_in(tmp_path)) as server:
        record = await server.engine.get(JobId(job))
        assert (record.state, record.attempts) == ("succeeded", 1)


async def test_the_catalog_is_known_at_once_on_the_second_start(tmp_path):
    async with running(settings_in(tmp_path)) as server:
        await server.submit(toy("Show", text="x"), wait=60)
    async with running(settings_in(tmp_path)) as server:
        assert server.engine.services.workers.num_ready == 0
        status, catalog = await server.call("GET", "/catalog")
        assert (status, "Show" in catalog["nodes"]) == (200, True)


async def test_two_servers_do_not_share_a_data_folder(tmp_path, server):
    with pytest.raises(SettingsError, match="Another process"):
        async with running(settings_in(tmp_path)):
            pass


async def test_two_workers_share_one_queue(tmp_path):
    async with running(settings_in(tmp_path, num_workers=2)) as server:
        await server.call("POST", "/queue/pause")
        jobs = [(await server.submit(toy("Sleep", seconds=0.2)))["id"] for _ in range(12)]
        while server.engine.services.workers.num_ready < 2:
            await asyncio.sleep(0.01)
        await server.call("POST", "/queue/resume")
        for job in jobs:
            assert (await ended(server, job))["state"] == "succeeded"
        workers = set()
        for job in jobs:
            workers |= {e.data["worker"] for e in await server.engine.events(JobId(job)) if e.kind == "job_leased"}
        assert workers == {"worker-0", "worker-1"}


async def test_an_engine_without_http_runs_a_job(tmp_path):
    async with running_engine(settings_in(tmp_path), time.time, FAKE_WORKER) as engine:
        submission = await engine.submit(JobRequest(write("x")))
        job = await engine.wait(submission.job.id, 20)
        assert job.outputs["1"]["images"][0]["filename"] == "toy_00001_.png"


async def test_a_worker_that_outgrew_its_memory_is_replaced_when_its_jobs_have_ended(tmp_path):
    async with running(settings_in(tmp_path, memory=MemorySettings(max_ram_bytes=200 << 20))) as server:
        workers = server.engine.services.workers
        small = await server.submit(toy("Hoard", megabytes=1), wait=60)
        beside = await server.submit(toy("Sleep", seconds=300.0))
        await wait_until(server, beside["id"], "running")
        await server.submit(toy("Hoard", megabytes=300), wait=60)
        while workers.infos()[0].state == "ready":
            await asyncio.sleep(0.02)
        assert workers.infos()[0].state == "recycling"
        hurry(server)
        assert (await ended(server, beside["id"]))["state"] == "succeeded"
        after = await server.submit(toy("Hoard", megabytes=2), wait=60)
        assert after["outputs"]["1"]["text"] != small["outputs"]["1"]["text"]
        assert after["attempts"] == 1
        info = workers.infos()[0]
        assert (info.generation, info.last_end["replaced_for"]) == (2, "own memory beyond --max-ram")
