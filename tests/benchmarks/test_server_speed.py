"""The whole path through the server: submit to finished event, latency while busy, durable submits, big queues."""

from __future__ import annotations

import asyncio
import time

import sqlalchemy as sa

from engine.core.ids import JobId
from engine.server.change import Change
from engine.server.records import JobQuery
from engine.server.tables import JOBS
from tests.server_harness import chain, running, settings_in, toy, write


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


async def test_a_cached_graph_costs_little_from_submit_to_end(tmp_path, figures):
    async with running(settings_in(tmp_path)) as server:
        for length, wanted in ((1000, "≤ 50 ms"), (10_000, "linear")):
            await server.submit(chain(length), wait=60)
            times = []
            for _ in range(10):
                start = time.perf_counter()
                job = await server.submit(chain(length), wait=60)
                times.append(time.perf_counter() - start)
                assert len(job["cached"]) == length
            figures.add(
                "server",
                f"cached {length}-node graph, submit to finished, best of 10",
                milliseconds(min(times)),
                wanted,
            )


async def test_small_jobs_pass_quickly(tmp_path, figures):
    async with running(settings_in(tmp_path)) as server:
        await server.submit(write("warm"), wait=60)
        start, commits = time.perf_counter(), server.engine.services.jobs.num_commits
        jobs = await asyncio.gather(*(server.submit(write(str(number))) for number in range(200)))
        for job in jobs:
            await server.engine.wait(JobId(job["id"]))
        took_s = time.perf_counter() - start
        commits = server.engine.services.jobs.num_commits - commits
        figures.add("server", "small jobs with one output each, per second", f"{200 / took_s:.0f}")
        figures.add("server", "commits per such job (submit, claim, name, place, end)", f"{commits / 200:.2f}", "≤ 5")


async def test_the_server_answers_while_the_worker_is_busy(tmp_path, figures):
    async with running(settings_in(tmp_path)) as server:
        await server.submit(toy("Show", text="warm"), wait=60)
        job = await server.submit(toy("Spin", seconds=3.0))
        times = []
        while not (await server.engine.get(JobId(job["id"]))).is_terminal:
            start = time.perf_counter()
            assert (await server.call("GET", "/system/health"))[0] == 200
            times.append(time.perf_counter() - start)
            await asyncio.sleep(0.01)
        times.sort()
        figures.add(
            "server",
            "health while a worker holds its lock, p99",
            milliseconds(times[int(len(times) * 0.99)]),
            "≤ 100 ms",
        )


async def test_a_hundred_thousand_waiting_jobs_are_no_burden(tmp_path, figures):
    settings = settings_in(tmp_path)
    async with running(settings) as server:
        await server.submit(toy("Show", text="warm"), wait=60)
        await server.engine.pause()
        store = server.engine.services.jobs
        model = await server.submit(toy("Show", text="model"))
        await store.change(lambda change: multiply(change, model["id"], 100_000 - 1))
    async with running(settings) as server:
        submits, pages = [], []
        for number in range(100):
            begin = time.perf_counter()
            await server.submit(toy("Show", text=str(number)))
            submits.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            page = await server.engine.list(JobQuery(limit=100, offset=number * 1000))
            pages.append(time.perf_counter() - begin)
            assert len(page.jobs) == 100
        figures.add("server", "submit beside 100,000 waiting jobs, p99", milliseconds(sorted(submits)[98]), "≤ 50 ms")
        figures.add("server", "page of 100 of them, p99", milliseconds(sorted(pages)[98]), "≤ 100 ms")
    begin = time.perf_counter()
    async with running(settings) as server:
        figures.add("server", "restart with 100,000 waiting jobs", milliseconds(time.perf_counter() - begin), "≤ 5 s")
        assert server.engine.counts().pending == 100_100


def multiply(change: Change, job: str, count: int) -> None:
    """Copy a waiting job's row `count` times."""
    (row,) = change.connection.execute(sa.select(JOBS).where(JOBS.c.id == job)).mappings()
    values = {name: value for name, value in row.items() if name != "sequence"}
    copies = [{**values, "id": f"copy-{n}", "number": float(n), "idempotency_key": None} for n in range(count)]
    change.connection.execute(sa.insert(JOBS), copies)
