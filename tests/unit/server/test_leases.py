"""Fencing, attempts, crashes, quarantine, recovery: each as a transaction on the store."""

from __future__ import annotations

import pytest

from engine.core.errors import ConflictError
from engine.core.ids import JobId
from engine.server import leases
from engine.server.records import CANCELLED, QUARANTINED, QUEUED, RUNNING
from tests.unit.server.store_fixtures import claim, new_job, opened

LOST = {"signal": "SIGKILL", "last_node": "7"}


async def begin(store, name: str = "a") -> leases.Grant:
    """Claim the next job and start it."""
    grant = (await claim(store))[0]
    assert grant.job == name
    await store.change(lambda change: leases.start(change, change.head(name)))
    return grant


async def lose(store, grant: leases.Grant, *, is_crash: bool = True) -> str | None:
    return await store.change(lambda change: leases.lose(change, grant.job, grant.epoch, LOST, is_crash=is_crash))


async def test_every_claim_raises_the_epoch_and_counts_the_attempt_first(tmp_path):
    async with opened(tmp_path) as store:
        await store.submit(new_job(store, "a"))
        grants = []
        for _ in range(2):
            grants.append(await begin(store))
            await lose(store, grants[-1])
        assert [(grant.epoch, grant.attempt) for grant in grants] == [(1, 1), (2, 2)]
        assert (await store.get(JobId("a"))).attempts == 2


async def test_what_comes_under_an_older_epoch_is_refused(tmp_path):
    async with opened(tmp_path) as store:
        await store.submit(new_job(store, "a"))
        old = await begin(store)
        await lose(store, old)
        new = await begin(store)
        assert await store.change(lambda change: leases.held(change, "a", old.epoch)) is None
        assert await lose(store, old) is None
        assert (await store.change(lambda change: leases.held(change, "a", new.epoch))).state == RUNNING


async def test_three_crashes_quarantine_a_job_with_the_evidence(tmp_path):
    async with opened(tmp_path) as store:
        await store.submit(new_job(store, "a"))
        assert [await lose(store, await begin(store)) for _ in range(3)] == [QUEUED, QUEUED, QUARANTINED]
        job = await store.get(JobId("a"))
        assert job.error["code"] == "quarantined"
        assert [(crash["signal"], crash["last_node"], crash["attempt"]) for crash in job.crashes] == [
            ("SIGKILL", "7", 1), ("SIGKILL", "7", 2), ("SIGKILL", "7", 3),
        ]  # fmt: skip
        assert await claim(store) == []


async def test_a_job_that_was_lost_with_its_worker_runs_alone_from_then_on(tmp_path):
    async with opened(tmp_path) as store:
        await store.submit(new_job(store, "a"))
        await lose(store, await begin(store))
        await store.submit(new_job(store, "b"))
        grants = await claim(store, max_held=4)
        assert [(grant.job, grant.is_exclusive) for grant in grants] == [("a", True)]


async def test_a_lease_that_never_started_gives_its_attempt_back(tmp_path):
    async with opened(tmp_path) as store:
        await store.submit(new_job(store, "a"))
        grant = (await claim(store))[0]
        assert await lose(store, grant) == QUEUED
        job = await store.get(JobId("a"))
        assert (job.attempts, job.crashes, job.epoch) == (0, (), 1)


async def test_draining_and_bystanding_consume_no_attempt(tmp_path):
    async with opened(tmp_path) as store:
        await store.submit(new_job(store, "a"))
        grant = await begin(store)
        await store.change(lambda change: leases.hand_back(change, "a", grant.epoch, "server_stopped"))
        await lose(store, await begin(store), is_crash=False)
        job = await store.get(JobId("a"))
        assert (job.state, job.attempts, job.crashes) == (QUEUED, 0, ())


async def test_a_server_that_ended_counts_apart_from_crashes(tmp_path):
    async with opened(tmp_path) as store:
        await store.submit(new_job(store, "a"))
    for _ in range(leases.MAX_SERVER_LOSSES - 1):
        async with opened(tmp_path) as store:
            await begin(store)
        async with opened(tmp_path) as store:
            await store.change(leases.recover)
            assert (await store.get(JobId("a"))).state == QUEUED
    async with opened(tmp_path) as store:
        await begin(store)
        await store.change(leases.recover)
        job = await store.get(JobId("a"))
        assert (job.state, job.crashes, job.server_losses) == (QUARANTINED, (), leases.MAX_SERVER_LOSSES)


async def test_a_cancel_that_the_server_did_not_live_to_see_is_honoured(tmp_path):
    async with opened(tmp_path) as store:
        await store.submit(new_job(store, "a"))
        await begin(store)
        await store.change(lambda change: leases.request_cancel(change, "a"))
        assert (await store.get(JobId("a"))).state == RUNNING
    async with opened(tmp_path) as store:
        await store.change(leases.recover)
        assert (await store.get(JobId("a"))).state == CANCELLED


async def test_cancelling_twice_is_the_same_as_once(tmp_path):
    async with opened(tmp_path) as store:
        await store.submit(new_job(store, "a"))
        for _ in range(2):
            await store.change(lambda change: leases.request_cancel(change, "a"))
        kinds = [event.kind for event in await store.events(JobId("a"), 0, 10)]
        assert kinds == ["job_queued", "job_cancelled"]


async def test_a_quarantined_job_can_be_queued_again_with_a_clean_slate(tmp_path):
    async with opened(tmp_path) as store:
        await store.submit(new_job(store, "a"))
        for _ in range(3):
            await lose(store, await begin(store))
        await store.change(lambda change: leases.requeue(change, "a"))
        job = await store.get(JobId("a"))
        assert (job.state, job.attempts, job.crashes, job.error) == (QUEUED, 0, (), None)
        with pytest.raises(ConflictError):
            await store.change(lambda change: leases.requeue(change, "a"))


async def order_of(store) -> list[str]:
    return [grant.job for grant in [(await claim(store))[0] for _ in range(store.counts().pending)]]


async def put(store, job: str, before: str) -> None:
    lowest = -float(store.take_number())
    await store.change(
        lambda change: leases.put_before(change, leases.waiting(change, job), leases.waiting(change, before), lowest)
    )


async def test_jobs_that_change_places_a_hundred_times_are_still_in_the_order_that_was_asked_for(tmp_path):
    async with opened(tmp_path) as store:
        for name in "xabc":
            await store.submit(new_job(store, name))
        for number in range(50):
            await put(store, "ab"[number % 2], "ba"[number % 2])
            await put(store, "ab"[number % 2], "c")
        await put(store, "b", "a")
        assert await order_of(store) == ["x", "b", "a", "c"]


async def test_what_goes_to_the_front_goes_before_what_was_put_before_the_first_also_after_a_restart(tmp_path):
    async with opened(tmp_path) as store:
        for name in ("a", "b"):
            await store.submit(new_job(store, name))
        await put(store, "b", "a")
        await store.submit(new_job(store, "c", number=-float(store.take_number())))
    async with opened(tmp_path) as store:
        await store.submit(new_job(store, "d", number=-float(store.take_number())))
        assert await order_of(store) == ["d", "c", "b", "a"]
