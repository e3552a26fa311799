"""Jobs on disk: order, repeats, events, history."""

from __future__ import annotations

import asyncio

import pytest

from engine.core.errors import ConflictError, NotFoundError
from engine.core.ids import JobId
from engine.protocol.messages import JobDone
from engine.server import leases
from engine.server.feed import Feed
from engine.server.records import FAILED, QUEUED, SUCCEEDED, EventRecord, JobQuery
from tests.unit.server.store_fixtures import FakeClock, claim, new_job, opened


async def finish(store, name: str, outcome: str = "succeeded", **facts) -> None:
    def apply(change):
        head = change.head(name)
        leases.finish(change, head, JobDone(name, head.epoch, outcome, **facts), {})

    await store.change(apply)


async def test_a_stored_job_reads_back_as_it_was_given(tmp_path):
    async with opened(tmp_path) as store:
        prompt = {"1": {"class_type": "Show", "inputs": {"text": "ü\ud800\x00", "big": 2**64, "nan": 1e308}}}
        given, created = await store.submit(new_job(store, "a", prompt=prompt, extra={"k": [1]}, alone=True))
        assert created
    async with opened(tmp_path) as store:
        read = await store.get(JobId("a"))
        assert read == given
        assert read.prompt == prompt


async def test_the_same_id_with_the_same_body_is_the_same_job(tmp_path):
    async with opened(tmp_path) as store:
        first, _ = await store.submit(new_job(store, "a"))
        again, created = await store.submit(new_job(store, "a"))
        assert (again.id, again.sequence, created) == (first.id, first.sequence, False)
        assert (await store.list(JobQuery())).total == 1


async def test_the_same_id_with_another_body_is_a_conflict(tmp_path):
    async with opened(tmp_path) as store:
        await store.submit(new_job(store, "a"))
        with pytest.raises(ConflictError):
            await store.submit(new_job(store, "a", body_digest="another"))
        with pytest.raises(ConflictError):
            await store.submit(new_job(store, "a", body_digest=""))


async def test_a_key_names_one_request(tmp_path):
    async with opened(tmp_path) as store:
        await store.submit(new_job(store, "a", idempotency_key="k", body_digest="b"))
        assert (await store.find_repeat(None, "k", "b")).id == "a"
        with pytest.raises(ConflictError):
            await store.find_repeat(None, "k", "other")
        with pytest.raises(ConflictError):
            await store.find_repeat(JobId("b"), "k", "b")


async def test_a_thousand_submits_sent_three_times_make_a_thousand_jobs(tmp_path):
    async with opened(tmp_path) as store:
        gate = asyncio.Semaphore(16)

        async def send(number: int) -> bool:
            async with gate:
                return (await store.submit(new_job(store, f"job {number}", idempotency_key=f"k{number}")))[1]

        created = await asyncio.gather(*(send(number % 1000) for number in range(3000)))
        assert sum(created) == 1000
        assert (await store.list(JobQuery(limit=1))).total == 1000
        assert store.counts().pending == 1000


async def test_jobs_run_by_priority_then_number_then_arrival(tmp_path):
    async with opened(tmp_path) as store:
        for name, changes in {
            "second": {"number": 2.0}, "first": {"number": 1.0}, "front": {"number": -3.0}, "urgent": {"priority": 5},
            "tie": {"number": 2.0},
        }.items():  # fmt: skip
            await store.submit(new_job(store, name, **changes))
        order = [(await claim(store))[0].job for _ in range(5)]
        assert order == ["urgent", "front", "first", "second", "tie"]


async def test_queue_numbers_go_on_after_a_restart(tmp_path):
    async with opened(tmp_path) as store:
        for name in "abc":
            await store.submit(new_job(store, name))
    async with opened(tmp_path) as store:
        assert store.take_number() == 4


async def test_events_of_a_job_count_from_one_without_gaps(tmp_path):
    async with opened(tmp_path) as store:
        await store.submit(new_job(store, "a"))
        await store.submit(new_job(store, "b"))
        await claim(store)
        await finish(store, "a")
        events = await store.events(JobId("a"), 0, 100)
        assert [event.seq for event in events] == [1, 2, 3, 4]
        assert [event.kind for event in events] == ["job_queued", "job_leased", "job_started", "job_succeeded"]
        assert [event.seq for event in await store.events(JobId("a"), 2, 100)] == [3, 4]
        with pytest.raises(NotFoundError):
            await store.events(JobId("nope"), 0, 1)


async def test_listeners_hear_events_in_stored_order_and_only_after_the_commit(tmp_path):
    feed = Feed()
    live = feed.subscribe(lambda item: isinstance(item, EventRecord) and item.seq > 0)
    async with opened(tmp_path, feed=feed) as store:
        await asyncio.gather(*(store.submit(new_job(store, f"{number}")) for number in range(50)))
        heard = [await live.get() for _ in range(50)]
        stored = [(await store.events(event.job, 0, 10))[0] for event in heard]
        assert heard == stored


async def test_counts_follow_states(tmp_path):
    async with opened(tmp_path) as store:
        for name in "abc":
            await store.submit(new_job(store, name))
        await claim(store)
        assert (store.counts().pending, store.counts().running) == (2, 1)
        await finish(store, "a")
        assert (store.counts().pending, store.counts().running) == (2, 0)
    async with opened(tmp_path) as store:
        assert (store.counts().pending, store.counts().running) == (2, 0)


async def test_the_pause_outlives_a_restart(tmp_path):
    async with opened(tmp_path) as store:
        await store.set_paused(True)
    async with opened(tmp_path) as store:
        assert store.is_paused
        await store.set_paused(False)
        assert not store.is_paused


async def test_history_keeps_the_newest_ended_jobs_and_every_waiting_one(tmp_path):
    clock = FakeClock()
    async with opened(tmp_path, history_limit=3, clock=clock) as store:
        await store.submit(new_job(store, "waits", number=1e6))
        for number in range(10):
            clock.now_s += 1
            await store.submit(new_job(store, f"{number}"))
            await claim(store)
            await finish(store, f"{number}")
        page = await store.list(JobQuery())
        assert [job.id for job in page.jobs] == ["9", "8", "7", "waits"]
        with pytest.raises(NotFoundError):
            await store.events(JobId("0"), 0, 10)


async def test_deleting_history_leaves_jobs_that_have_not_ended(tmp_path):
    async with opened(tmp_path) as store:
        for name in "abc":
            await store.submit(new_job(store, name))
        await claim(store)
        await finish(store, "a", "failed", error={"code": "x", "message": "y"})
        assert (await store.get(JobId("a"))).state == FAILED
        assert await store.delete_ended([JobId("b"), JobId("a")]) == ["a"]
        assert [job.state for job in (await store.list(JobQuery())).jobs] == [QUEUED, QUEUED]


async def test_an_ended_job_keeps_what_its_worker_reported(tmp_path):
    async with opened(tmp_path) as store:
        await store.submit(new_job(store, "a"))
        await claim(store)
        await finish(store, "a", ran=["1"], cached=["0"], outputs={"1": {"text": ["x"]}}, reasons={"1": {"r": 1}})
        job = await store.get(JobId("a"))
        assert (job.state, job.ran, job.cached, job.outputs) == (SUCCEEDED, ("1",), ("0",), {"1": {"text": ["x"]}})
        assert job.reasons == {"1": {"r": 1}}


async def test_listings_filter_and_page(tmp_path):
    async with opened(tmp_path) as store:
        for number in range(5):
            await store.submit(new_job(store, f"{number}", client_id="x" if number % 2 else "y"))
        page = await store.list(JobQuery(client_id="y", limit=2, offset=1, newest_first=False))
        assert ([job.id for job in page.jobs], page.total) == (["2", "4"], 3)
        assert page.jobs[0].prompt == {}
        assert (await store.list(JobQuery(states=("running",)))).total == 0
