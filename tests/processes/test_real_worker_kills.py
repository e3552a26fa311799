"""Kill -9 of the server and of the real worker, at points spread over a worker's life: no picture is lost or doubled.

Each run draws a seed and prints it; `KILL_SEED=n` repeats the draws (not the interleaving of the processes).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from tests.processes.victim import Victim, send

MOMENTS = {"starting": 1, "idle": 1, "running": 4, "staging": 2, "placing": 2}
"""Points of a worker's life and how often each is drawn. Placing: from the first visible file to just after the commit
that marks it."""

PATIENCE_S = 20.0
WORKER_START_S = 120.0


def job_name(number: int) -> str:
    return f"job-{number:03}-"


def num_pictures(number: int) -> int:
    return 1 + number % 3


def prompt(number: int) -> dict[str, Any]:
    """One to three pictures by one or two nodes, most of them unlike those of the job's other attempts."""
    name = job_name(number)
    nodes: dict[str, Any] = {
        "unlike": {"class_type": "UnlikePicture", "inputs": {"name": name, "batch_size": 2 if number % 3 else 1}},
        "rest": {"class_type": "Rest", "inputs": {"image": ["unlike", 0], "seconds": 0.05}},
        "save": {"class_type": "SaveImage", "inputs": {"images": ["rest", 0], "filename_prefix": "picture"}},
    }
    if number % 3 == 2:
        nodes["plain"] = {
            "class_type": "EmptyImage",
            "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": number},
        }
        nodes["save_plain"] = {
            "class_type": "SaveImage",
            "inputs": {"images": ["plain", 0], "filename_prefix": "plain/picture"},
        }
    return nodes


@dataclass
class Campaign:
    """A server and worker being killed while jobs come in."""

    victim: Victim
    session: aiohttp.ClientSession
    chance: random.Random
    waiting: list[int]
    accepted: list[int] = field(default_factory=list)
    seen_workers: set[int] = field(default_factory=set)
    start_times_s: list[float] = field(default_factory=list)

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.session.get(f"{self.victim.url}/api/v1{path}") as reply:
            return reply.status, await reply.json()

    async def submit(self, count: int) -> None:
        """Send up to `count` of the waiting jobs; a kill ends it, and what was not acknowledged waits on."""
        for number in self.waiting[:count]:
            if not await send(self.session, self.victim.url, job_name(number), prompt(number)):
                return
            self.waiting.remove(number)
            self.accepted.append(number)

    def files(self, folder: str) -> set[Path]:
        return {path for path in (self.victim.folder / folder).rglob("*") if path.is_file()}

    async def until_new_file(self, folder: str) -> None:
        """Return at the next change among the files of a folder, or when none comes."""
        known, end = self.files(folder), time.monotonic() + PATIENCE_S
        while self.files(folder) <= known and time.monotonic() < end:
            await asyncio.sleep(0.0005)

    async def new_worker(self) -> psutil.Process:
        """The worker that was not killed yet, once its process is there."""
        while True:
            with suppress(psutil.Error):
                for process in self.victim.workers():
                    if process.pid not in self.seen_workers:
                        return process
            await asyncio.sleep(0.005)

    async def until_ready(self) -> None:
        began_s = time.monotonic()
        while (await self.get("/system/ready"))[0] != 200:
            if time.monotonic() > began_s + WORKER_START_S:
                raise AssertionError(f"no worker came up: {(await self.get('/system/log'))[1][-30:]}")
            await asyncio.sleep(0.01)
        self.start_times_s.append(time.monotonic() - began_s)

    async def until_idle(self) -> None:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            _, queue = await self.get("/queue")
            if not queue["pending"] and not queue["running"]:
                return
            await asyncio.sleep(0.02)

    @asynccontextmanager
    async def reached(self, moment: str) -> AsyncIterator[None]:
        """Enter at a random point of `moment`, with jobs being sent meanwhile."""
        if moment != "starting":
            await self.until_ready()
        if moment == "idle":
            await self.until_idle()
        sending = asyncio.create_task(self.submit(0 if moment == "idle" else 3))
        if moment == "starting":
            await asyncio.sleep(self.chance.random() * 4.0)
        elif moment == "staging":
            await self.until_new_file("user/.atelier/staging")
            await asyncio.sleep(self.chance.random() * 0.004)
        elif moment == "placing":
            await self.until_new_file("output")
            await asyncio.sleep(self.chance.random() * 0.03)
        else:
            await asyncio.sleep(self.chance.random() * 0.5)
        yield
        await sending

    async def kill(self, what: str, moment: str) -> None:
        worker = await self.new_worker()
        async with self.reached(moment):
            self.seen_workers.add(worker.pid)
            if what == "worker":
                worker.kill()
            else:
                assert await self.victim.end(signal.SIGKILL) == -signal.SIGKILL
        if what == "server":
            await self.victim.start(self.session)

    async def ended(self) -> list[dict[str, Any]]:
        """The records of all jobs when each has ended; what was quarantined by chance runs again."""
        await self.submit(len(self.waiting))
        records = []
        for number in sorted(self.accepted):
            path = f"/jobs/{job_name(number)}"
            record = (await self.get(f"{path}/wait?seconds=300"))[1]
            if record["state"] == "quarantined":
                assert "SIGKILL" in str(record["error"]), record["error"]
                async with self.session.post(f"{self.victim.url}/api/v1{path}/requeue") as reply:
                    assert reply.status == 200
                record = (await self.get(f"{path}/wait?seconds=300"))[1]
            records.append(record)
        return records


def shown(record: dict[str, Any]) -> list[str]:
    """The files a job says it made, below the output folder."""
    parts = [image for node in record["outputs"].values() for image in node["images"]]
    return [f"{part['subfolder']}/{part['filename']}".lstrip("/") for part in parts]


def check_pictures(folder: Path, records: list[dict[str, Any]]) -> None:
    """Each job's pictures exactly once among what jobs say, what the store holds and what lies on the disk."""
    output = folder / "output"
    assert {record["state"] for record in records} == {"succeeded"}
    said = [name for record in records for name in shown(record)]
    on_disk = sorted(path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file())
    assert sorted(said) == on_disk
    assert [len(shown(record)) for record in records] == [num_pictures(number) for number in range(len(records))]
    with closing(sqlite3.connect(folder / "user/.atelier/atelier.sqlite3")) as store:
        rows = store.execute("SELECT job, subfolder, filename, digest, is_placed FROM assets").fetchall()
    stored = {f"{subfolder}/{filename}".lstrip("/"): (job, digest) for job, subfolder, filename, digest, _ in rows}
    assert sorted(stored) == on_disk
    assert all(is_placed for *_, is_placed in rows)
    for record in records:
        for name in shown(record):
            data = (output / name).read_bytes()
            assert stored[name] == (record["id"], hashlib.sha256(data).hexdigest())
            assert record["id"].encode() in data


async def campaign(folder: Path, num_kills: int, what: Callable[[int], str], report: Callable[[str], None]) -> None:
    """`num_kills` kills with three jobs for each; then everything ends, and the pictures are counted."""
    seed = int(os.environ.get("KILL_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"seed {seed}")
    chance, began_s = random.Random(seed), time.monotonic()
    async with aiohttp.ClientSession() as session, Victim(folder, "real") as victim:
        await victim.start(session)
        run = Campaign(victim, session, chance, list(range(3 * num_kills)))
        moments = chance.choices(list(MOMENTS), list(MOMENTS.values()), k=num_kills)
        for number, moment in enumerate(moments):
            print(f"kill {number}: {what(number)} while {moment}, {time.monotonic() - began_s:.1f} s")
            await run.kill(what(number), moment)
        records = await run.ended()
        assert await victim.end(signal.SIGTERM) == 0
    check_pictures(folder, records)
    waits = sorted(run.start_times_s)
    report(
        f"seed {seed}: {num_kills} kills, {len(records)} jobs, 0 lost, 0 doubled, "
        f"{sum(record['attempts'] for record in records)} attempts, {time.monotonic() - began_s:.0f} s; "
        f"a worker was ready after {waits[len(waits) // 2]:.1f} s (median), {waits[-1]:.1f} s (longest)"
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_server_and_real_worker_killed_in_turn_lose_no_picture_and_make_none_twice(tmp_path):
    await campaign(tmp_path, 4, lambda number: ("worker", "server")[number % 2], print)


@pytest.mark.thorough
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("what", ["server", "worker"])
async def test_a_hundred_kills_lose_no_picture_and_make_none_twice(tmp_path, what):
    await campaign(tmp_path, 100, lambda _: what, print)
