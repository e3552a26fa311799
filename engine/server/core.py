"""The engine without HTTP: submit jobs, follow them, steer the queue. The server's routes and `main.py run` use it.

async with Engine.open(settings) as engine:
    submission = await engine.submit(JobRequest(document))
    job = await engine.wait(submission.job.id)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from engine.core.errors import ConflictError
from engine.core.ids import JobId, NodeId
from engine.core.settings import Settings
from engine.server.leases import TERMINAL_KINDS
from engine.server.records import (
    EventRecord,
    JobPage,
    JobQuery,
    JobRecord,
    JobRequest,
    QueueCounts,
    Submission,
)

if TYPE_CHECKING:
    from engine.server.conductor import Conductor
    from engine.server.feed import FeedItem, Subscription
    from engine.server.services import Services
    from engine.server.submission import CheckedGraph, Submitter

__all__ = ["Engine"]

_EVENT_PAGE = 1000


class Engine:
    """One running engine: the durable queue, the workers that serve it, and the event feed.

    All methods are coroutines of the event loop that opened it unless stated otherwise.
    """

    services: Services
    """The parts, for views over them."""

    def __init__(self, submitter: Submitter, conductor: Conductor) -> None:
        self._submitter = submitter
        self._conductor = conductor

    @staticmethod
    @asynccontextmanager
    async def open(settings: Settings, *, clock: Callable[[], float] = time.time) -> AsyncIterator[Engine]:
        """Open the store, recover what a crash left, start the workers; stop all of it on leaving.

        Raises SettingsError when the data folder is in use by another process or the database is from a newer
        program.
        """
        from engine.server.composition import running_engine

        async with running_engine(settings, clock) as engine:
            yield engine

    # ------------------------------------------------------------------ submitting

    async def submit(self, request: JobRequest) -> Submission:
        """Check the document and queue it; the job is on disk when this returns.

        Raises GraphRefused (a GraphError with `.complaints`, JSON under details["complaints"]) when no output can run;
        ConflictError when the key or job id was used for another body; NotReady while no node catalog is known.
        """
        return await self._submitter.submit(request)

    async def validate(self, document: dict[str, Any], targets: tuple[NodeId, ...] | None = None) -> CheckedGraph:
        """Parse, compile and check a document without queueing it; complaints are data, nothing is raised for them.

        Raises GraphError when the document is neither a prompt nor a workflow.
        """
        return await self._submitter.check(document, targets)

    def take_number(self) -> int:
        """The next queue number (also consumed by refused submits). Not a coroutine."""
        return self.services.jobs.take_number()

    # ------------------------------------------------------------------ reading

    async def get(self, job: JobId) -> JobRecord:
        """The job with documents. Raises NotFoundError."""
        return await self.services.jobs.get(job)

    async def list(self, query: JobQuery | None = None) -> JobPage:
        """A page of jobs."""
        return await self.services.jobs.list(query or JobQuery())

    def counts(self) -> QueueCounts:
        """Pending and running counts, from memory. Not a coroutine."""
        return self.services.jobs.counts()

    async def events(self, job: JobId, after: int = 0, limit: int = _EVENT_PAGE) -> list[EventRecord]:
        """Stored events of the job with `seq > after`, in order. Raises NotFoundError for an unknown job."""
        return await self.services.jobs.events(job, after, limit)

    async def follow(self, job: JobId, after: int = 0) -> AsyncGenerator[EventRecord, None]:
        """Stored events after number `after`, then live ones (progress included), ending with the terminal event.

        Raises NotFoundError for an unknown job.
        """
        while True:
            lagged = False
            with self.subscribe(lambda item: isinstance(item, EventRecord) and item.job == job) as live:
                async for event in self._replay(job, after):
                    yield event
                    after = event.seq
                if (await self.services.jobs.get(job, with_documents=False)).is_terminal:
                    # The terminal event is stored with the state: the store has the rest, the feed only repeats it.
                    async for event in self._replay(job, after):
                        yield event
                    return
                async for item in live:
                    assert isinstance(item, EventRecord)  # nothing else was asked for
                    if item.seq == 0:
                        yield item
                    elif item.seq > after:
                        yield item
                        after = item.seq
                        if item.kind in TERMINAL_KINDS:
                            return
                lagged = live.has_lagged
            if not lagged:
                return

    async def _replay(self, job: JobId, after: int) -> AsyncIterator[EventRecord]:
        while page := await self.services.jobs.events(job, after, _EVENT_PAGE):
            for event in page:
                yield event
            after = page[-1].seq

    async def wait(self, job: JobId, timeout_s: float | None = None, *, with_documents: bool = False) -> JobRecord:
        """The job once it has ended, or as it is when `timeout_s` has passed. Raises NotFoundError."""
        deadline = None if timeout_s is None else asyncio.get_running_loop().time() + timeout_s

        def ends_it(item: FeedItem) -> bool:
            return isinstance(item, EventRecord) and item.job == job and item.kind in TERMINAL_KINDS

        with self.subscribe(ends_it) as live:
            record = await self.services.jobs.get(job, with_documents=with_documents)
            while not record.is_terminal:
                remaining = None if deadline is None else deadline - asyncio.get_running_loop().time()
                try:
                    item = await asyncio.wait_for(live.get(), remaining)
                except asyncio.TimeoutError:
                    break
                record = await self.services.jobs.get(job, with_documents=with_documents)
                if item is None:  # the server stops
                    break
            return record

    def subscribe(self, accepts: Callable[[FeedItem], bool] | None = None, *, max_items: int = 4096) -> Subscription:
        """Live EventRecords and PreviewPictures of all jobs (LogEntry if `accepts` wants it). Not a coroutine."""
        if accepts is None:
            return self.services.feed.subscribe(max_items=max_items)
        return self.services.feed.subscribe(accepts, max_items=max_items)

    async def why(self, job: JobId) -> dict[str, Any]:
        """Per node of the job whether it ran or was cached, and for those that ran, which input differed."""
        record = await self.services.jobs.get(job, with_documents=False)
        return {"ran": list(record.ran), "cached": list(record.cached), "reasons": dict(record.reasons)}

    # ------------------------------------------------------------------ steering

    async def cancel(self, job: JobId) -> JobRecord:
        """Cancel a job in whatever state it is; cooperative first, then the worker process. Idempotent.

        Returns at once with `cancel_requested` set while the worker still holds it. Raises NotFoundError.
        """
        return await self._conductor.cancel(job)

    async def cancel_running(self) -> list[JobId]:
        """Cancel every job that a worker holds; returns their ids."""
        running = await self.services.jobs.held_jobs()
        for job in running:
            await self.cancel(job)
        return running

    async def cancel_queued(self, jobs: Iterable[JobId] | None = None) -> list[JobId]:
        """Cancel waiting jobs (all, or those named; others are left alone); returns the ids that were cancelled."""
        return await self._conductor.cancel_queued(None if jobs is None else list(jobs))

    async def move(
        self, job: JobId, *, front: bool = False, priority: int | None = None, before: JobId | None = None
    ) -> JobRecord:
        """Change a waiting job's place; `before`, another one, decides alone.

        Raises NotFoundError, or ConflictError when one of them waits no more.
        """
        return await self._conductor.move(job, front=front, priority=priority, before=before)

    async def pause(self) -> None:
        """Start no further jobs (durable across restarts); running ones go on."""
        await self._conductor.set_paused(True)

    async def resume(self) -> None:
        """Start jobs again."""
        await self._conductor.set_paused(False)

    async def requeue(self, job: JobId) -> JobRecord:
        """Queue an ended job again under its id. Raises NotFoundError, or ConflictError when it has not ended."""
        return await self._conductor.requeue(job)

    async def delete_history(self, jobs: Iterable[JobId] | None = None) -> list[JobId]:
        """Forget ended jobs (all, or those named) with their events; files stay. Returns the ids forgotten."""
        return await self.services.jobs.delete_ended(None if jobs is None else list(jobs))

    async def delete(self, job: JobId) -> None:
        """Forget one ended job. Raises NotFoundError, or ConflictError when it has not ended."""
        record = await self.services.jobs.get(job, with_documents=False)
        if not await self.services.jobs.delete_ended([record.id]):
            raise ConflictError(f"Job {job!r} has not ended.", code="not_ended", hint="Cancel it first.")

    async def free(self, *, unload_models: bool = False, drop_cache: bool = False) -> None:
        """Ask all workers to free memory once their running jobs are done."""
        await self.services.workers.free(unload_models=unload_models, drop_cache=drop_cache)

    # ------------------------------------------------------------------ facts

    async def system_stats(self) -> dict[str, Any]:
        """Facts of the machine, versions, devices (of the workers) and queue, as JSON.

        {system: {os, ram_total, ram_free, python_version, pytorch_version, embedded_python, argv, versions}, devices:
        [WorkerReady.device with the newest memory figures], workers: [WorkerInfo], queue: {pending, running, paused},
        uptime_s}
        """
        from engine.server.system import system_stats

        return await system_stats(self.services)

    @property
    def is_ready(self) -> bool:
        """Whether a catalog is known and at least one worker accepts jobs."""
        return self.services.catalog.is_known and self.services.workers.num_ready > 0
