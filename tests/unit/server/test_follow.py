"""Following a job's log: the end is seen whichever way it arrives."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

from engine.core.ids import JobId
from engine.server import leases
from engine.server.core import Engine
from engine.server.feed import Feed
from engine.server.records import QUARANTINED, QUEUED, EventRecord
from tests.unit.server.store_fixtures import claim, new_job, opened


async def crash(store, name: str) -> None:
    grant = (await claim(store))[0]
    await store.change(lambda change: leases.start(change, change.head(name)))
    await store.change(lambda change: leases.lose(change, name, grant.epoch, {}, is_crash=True))


async def test_a_job_that_ends_while_its_past_is_read_ends_the_stream_once(tmp_path: Path) -> None:
    feed = Feed()
    async with opened(tmp_path, feed=feed) as store:
        engine = Engine(submitter=None, conductor=None)
        engine.services = SimpleNamespace(jobs=store, feed=feed)
        await store.submit(new_job(store, "a"))
        stream = engine.follow(JobId("a"))
        seen = [await anext(stream)]
        for _ in range(3):
            await crash(store, "a")
        assert (await store.get(JobId("a"))).is_terminal

        async def drain() -> None:
            async for event in stream:
                seen.append(event)

        await asyncio.wait_for(drain(), 60)
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    assert seen[-1].kind == "job_quarantined"


async def test_a_job_with_more_events_than_a_listener_holds_is_waited_for_to_its_end(tmp_path: Path) -> None:
    feed = Feed()
    async with opened(tmp_path, feed=feed) as store:
        engine = Engine(submitter=None, conductor=None)
        engine.services = SimpleNamespace(jobs=store, feed=feed)
        await store.submit(new_job(store, "a"))
        waiting = asyncio.create_task(engine.wait(JobId("a"), 10))
        await asyncio.sleep(0)
        for number in range(10_000):
            feed.publish([EventRecord(JobId("a"), number + 2, "node_started", {"node": str(number)}, 0.0)])
        for _ in range(3):
            await crash(store, "a")
        assert (await waiting).state == QUARANTINED


async def test_waiting_ends_with_the_job_as_it_is_when_time_is_up(tmp_path: Path) -> None:
    feed = Feed()
    async with opened(tmp_path, feed=feed) as store:
        engine = Engine(submitter=None, conductor=None)
        engine.services = SimpleNamespace(jobs=store, feed=feed)
        await store.submit(new_job(store, "a"))
        assert (await engine.wait(JobId("a"), 0.05)).state == QUEUED
