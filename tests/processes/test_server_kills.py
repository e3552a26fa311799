"""Kill -9 of the server and of its worker at random points: nothing accepted is lost, nothing is made twice."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from engine.core.ids import JobId
from engine.server.dispatcher import MAX_JOBS_PER_WORKER
from engine.server.records import JobQuery
from tests.processes.victim import Victim, send
from tests.server_harness import Server, running, settings_in, toy, write

JOBS_PER_KILL = 3
NUM_KILLS = pytest.mark.parametrize(
    "num_kills", [pytest.param(25, marks=pytest.mark.slow), pytest.param(100, marks=pytest.mark.thorough)]
)


def check_outputs(output: Path, records: list[dict[str, Any]]) -> None:
    """Every job has ended well with exactly one file, and there is no other file."""
    assert [record["state"] for record in records] == ["succeeded"] * len(records)
    named = [
        image["filename"] for record in records for images in record["outputs"].values() for image in images["images"]
    ]
    assert len(named) == len(set(named)) == len(records)
    assert sorted(path.name for path in output.iterdir()) == sorted(named)
    for record in records:
        (images,) = record["outputs"].values()
        data = (output / images["images"][0]["filename"]).read_bytes()
        assert data.endswith(f"<{record['id']}>0".encode())


def job_prompt(name: str) -> dict[str, Any]:
    """A short nap, then a file that carries the job's name."""
    prompt = write(f"<{name}>")
    prompt["2"] = {"class_type": "Sleep", "inputs": {"seconds": 0.005}}
    prompt["1"]["inputs"]["after"] = ["2", 0]
    return prompt


@NUM_KILLS
@pytest.mark.timeout(900)
async def test_a_server_killed_at_random_points_loses_no_job_and_makes_no_output_twice(tmp_path, num_kills):
    chance = random.Random(num_kills)
    num_jobs = JOBS_PER_KILL * num_kills
    waiting = [f"job-{number:03}" for number in range(num_jobs)]
    acknowledged: list[str] = []

    async def submit_some(session: aiohttp.ClientSession, url: str, count: int) -> None:
        for name in waiting[:count]:
            if not await send(session, url, name, job_prompt(name)):
                return
            waiting.remove(name)
            acknowledged.append(name)

    async with aiohttp.ClientSession() as session, Victim(tmp_path) as victim:
        for _ in range(num_kills):
            await victim.start(session)
            submitting = asyncio.create_task(submit_some(session, victim.url, JOBS_PER_KILL))
            await asyncio.sleep(chance.random() * 0.6)
            assert await victim.end(signal.SIGKILL) == -signal.SIGKILL
            await submitting
        await victim.start(session)
        await submit_some(session, victim.url, num_jobs)
        assert len(acknowledged) == num_jobs
        records = []
        for name in acknowledged:
            async with session.get(f"{victim.url}/api/v1/jobs/{name}/wait?seconds=60") as reply:
                records.append(await reply.json())
        check_outputs(tmp_path / "output", records)
        attempts = sum(record["attempts"] for record in records)
        assert num_jobs <= attempts <= num_jobs + num_kills * MAX_JOBS_PER_WORKER
        assert await victim.end(signal.SIGTERM) == 0


@NUM_KILLS
@pytest.mark.timeout(900)
async def test_a_worker_killed_at_random_points_loses_no_job_and_makes_no_output_twice(tmp_path, num_kills):
    chance = random.Random(num_kills + 1)
    async with running(settings_in(tmp_path)) as server:
        names = [f"job-{number:03}" for number in range(JOBS_PER_KILL * num_kills)]
        kills = asyncio.create_task(kill_workers(server, chance, names))
        assert await health_checks(server, kills) > num_kills // 2
        records = [(await server.call("GET", f"/jobs/{name}/wait?seconds=60"))[1] for name in names]
        unlucky = [record["id"] for record in records if record["state"] == "quarantined"]
        for name in unlucky:  # killed three times by chance: kept with its evidence, and fine when asked for again
            crashes = (await server.engine.get(JobId(name))).crashes
            assert [crash["signal"] for crash in crashes] == ["SIGKILL"] * 3
            assert (await server.call("POST", f"/jobs/{name}/requeue"))[0] == 200
        records = [(await server.call("GET", f"/jobs/{name}/wait?seconds=60"))[1] for name in names]
        check_outputs(tmp_path / "output", records)
        assert kills.result() == num_kills


async def kill_workers(server: Server, chance: random.Random, names: list[str]) -> int:
    """Kill the worker's process at random points of its lives, with new jobs queued in each of them; how often."""
    seen: set[int] = set()
    while len(seen) < len(names) // JOBS_PER_KILL:
        info = server.engine.services.workers.infos()[0]
        if info.pid is None or info.pid in seen or (info.state != "ready" and chance.random() < 0.99):
            await asyncio.sleep(0.005)
            continue
        for name in names[len(seen) * JOBS_PER_KILL : (len(seen) + 1) * JOBS_PER_KILL]:
            assert await send(server.session, server.url, name, job_prompt(name))
        await asyncio.sleep(chance.random() * 0.15)
        with suppress(ProcessLookupError):
            os.kill(info.pid, signal.SIGKILL)
        seen.add(info.pid)
    return len(seen)


async def health_checks(server: Server, until: asyncio.Task) -> int:
    """How often the server answered, without a single failure, until the task was done."""
    num_answers = 0
    while not until.done():
        assert await server.call("GET", "/system/health") == (200, {"status": "ok"})
        num_answers += 1
        await asyncio.sleep(0.02)
    return num_answers


async def test_a_terminated_server_exits_cleanly_and_consumes_no_attempt(tmp_path):
    async with aiohttp.ClientSession() as session, Victim(tmp_path) as victim:
        await victim.start(session)
        assert await send(session, victim.url, "long", toy("Sleep", seconds=3600.0))
        while (await (await session.get(f"{victim.url}/api/v1/jobs/long")).json())["state"] != "running":
            await asyncio.sleep(0.01)
        assert await victim.end(signal.SIGTERM) == 0
    async with running(settings_in(tmp_path)) as server:
        page = await server.engine.list(JobQuery())
        assert [(job.id, job.attempts <= 1) for job in page.jobs] == [("long", True)]
        events = await server.engine.events(JobId("long"))
        assert "server_stopped" in [event.data.get("reason") for event in events]
        await server.engine.cancel(JobId("long"))


async def test_a_killed_server_leaves_no_worker_behind(tmp_path):
    async with aiohttp.ClientSession() as session, Victim(tmp_path) as victim:
        await victim.start(session)
        assert await send(session, victim.url, "stuck", toy("Spin", seconds=600.0))
        while (await (await session.get(f"{victim.url}/api/v1/jobs/stuck")).json())["state"] != "running":
            await asyncio.sleep(0.01)
        (worker,) = victim.workers()
        assert await victim.end(signal.SIGKILL) == -signal.SIGKILL
        await victim.start(session)
        assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
        async with session.post(f"{victim.url}/api/v1/jobs/stuck/cancel") as reply:
            assert reply.status in (200, 202)
        assert await victim.end(signal.SIGTERM) == 0
