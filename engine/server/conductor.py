"""Moves jobs: claims them for workers, applies what workers say, cancels, recovers, drains.

The truth is in the store; this holds only which process has which job right now.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from engine.core.errors import AtelierError
from engine.core.ids import ClientId, JobId
from engine.core.settings import Settings
from engine.protocol.messages import (
    CancelJob,
    CatalogPublished,
    JobDone,
    JobReport,
    JobReports,
    Lease,
    Message,
    OutputsPlaced,
    OutputsStaged,
    PackEvent,
    Preview,
    WorkerReady,
)
from engine.server import leases
from engine.server.catalog import CatalogHolder
from engine.server.change import Change
from engine.server.dispatcher import MAX_JOBS_PER_WORKER, WorkerLoad, assign
from engine.server.failures import StorageFailed
from engine.server.inbox import Ended, Held, Letter, Outcome, apply
from engine.server.jobs import JobStore, NewJob
from engine.server.outputs import OutputPlacer, Placement
from engine.server.placing import PlacingDesk
from engine.server.records import QUEUED, JobRecord
from engine.server.tables import JOBS
from engine.server.workers import WorkerPool

__all__ = ["Conductor"]

Result = TypeVar("Result")
_MAX_BACKLOG = 20_000
_MAX_BATCH = 1000
_LINGER_S = 0.005
_log = logging.getLogger(__name__)


class Conductor:
    """The link between the store and the workers. `attach` a pool, `start`, `stop`."""

    def __init__(self, settings: Settings, store: JobStore, placer: OutputPlacer, catalog: CatalogHolder) -> None:
        self._settings = settings
        self._store = store
        self._placer = placer
        self._desk = PlacingDesk(store, placer)
        self._catalog = catalog
        self._pool: WorkerPool
        self._held: dict[str, Held] = {}
        self._letters: list[Letter] = []
        self._has_letters = asyncio.Event()
        self._has_room = asyncio.Event()
        self._is_urgent = asyncio.Event()
        self._wake = asyncio.Event()
        self._claiming = asyncio.Lock()
        self._is_draining = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loops: list[asyncio.Task[None]] = []

    def attach(self, pool: WorkerPool) -> None:
        """Use these workers."""
        self._pool = pool

    async def recover(self) -> int:
        """Put the store right after a start; the number of jobs that were held when the last server ended."""
        num_jobs = await self._store.change(leases.recover)
        await self._store.change(self._placer.recover)
        return num_jobs

    def start(self) -> None:
        """Begin to claim jobs and to listen."""
        self._loops = [asyncio.create_task(self._claim_jobs()), asyncio.create_task(self._read_letters())]
        self.wake()

    async def stop(self, grace_s: float) -> None:
        """Claim nothing more, let running jobs end within `grace_s`, hand the others back unharmed."""
        self._is_draining = True
        deadline = asyncio.get_running_loop().time() + grace_s
        while self._held and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
        remaining = list(self._held.values())
        self._held.clear()

        def hand_back(change: Change) -> None:
            for held in remaining:
                leases.hand_back(change, held.job, held.epoch, "server_stopped")

        if remaining:
            await self._store.change(hand_back)
        for task in [*self._loops, *self._tasks]:
            task.cancel()
        await asyncio.gather(*self._loops, *self._tasks, return_exceptions=True)

    def wake(self) -> None:
        """Look for jobs to claim: something was queued, or a place became free."""
        self._wake.set()

    # ------------------------------------------------------------------ claiming

    async def _claim_jobs(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while await self._claim_some():
                    pass
            except Exception:  # noqa: BLE001 - a full disk must not end the queue; it is tried again
                _log.exception("Jobs could not be claimed; trying again.")
                await asyncio.sleep(1.0)
                self.wake()

    async def _claim_some(self) -> bool:
        async with self._claiming:
            loads = self._free_loads()
            if not loads or not self._store.counts().pending:
                return False
            generations = dict(self._pool.ready())
            grants = await self._store.change(lambda change: _claim(change, loads))
            for grant in grants:
                self._deliver(grant, generations[grant.worker])
            return bool(grants)

    async def submit(self, new: NewJob) -> tuple[JobRecord, bool]:
        """Store a job; leased in the same commit when nothing waits before it and a worker is free.

        Raises ConflictError as `JobStore.submit`.
        """
        if not self._claiming.locked() and not self._store.counts().pending and self._free_loads():
            # A task of its own: a caller that goes away must not keep the leases from being delivered.
            return await asyncio.shield(self._spawn(self._submit_and_claim(new)))
        stored = await self._store.submit(new)
        self.wake()
        return stored

    async def _submit_and_claim(self, new: NewJob) -> tuple[JobRecord, bool]:
        async with self._claiming:
            loads = self._free_loads()
            generations = dict(self._pool.ready())
            grants: list[leases.Grant] = []
            stored = await self._store.submit(new, lambda change: grants.extend(_claim(change, loads)))
            for grant in grants:
                self._deliver(grant, generations[grant.worker])
        self.wake()
        return stored

    def _free_loads(self) -> list[WorkerLoad]:
        """The workers with room for a job; none while nothing may start."""
        loads: list[WorkerLoad] = []
        if self._is_draining or self._store.is_paused:
            return loads
        for worker, _ in self._pool.ready():
            mine = [held for held in self._held.values() if held.worker == worker]
            is_exclusive = any(held.is_exclusive for held in mine)
            if not is_exclusive and len(mine) < MAX_JOBS_PER_WORKER:
                loads.append(WorkerLoad(worker, len(mine)))
        return loads

    def _deliver(self, grant: leases.Grant, generation: int) -> None:
        client = None if grant.client_id is None else ClientId(grant.client_id)
        held = Held(grant.job, grant.worker, generation, grant.epoch, grant.is_exclusive, client)
        lease = Lease(
            job=grant.job,
            epoch=grant.epoch,
            attempt=grant.attempt,
            prompt=dict(grant.prompt),
            targets=list(grant.targets),
            extra=dict(grant.extra),
            client_id=grant.client_id,
            alone=grant.alone,
            priority=grant.priority,
            preview_method=str(grant.extra.get("preview_method") or self._settings.preview_method),
        )
        self._held[grant.job] = held
        if not self._pool.send(grant.worker, lease, generation):
            self._post(Letter(Ended(grant.worker, generation, {}), (held,)))

    # ------------------------------------------------------------------ listening

    async def heard(self, worker: str, generation: int, message: Message) -> None:
        """WorkerListener: sort a message into the batch, or act on it at once."""
        if isinstance(message, (JobReport, JobReports, JobDone, OutputsStaged, Preview)):
            held = self._held.get(message.job)
            if held is None or (held.worker, held.generation, held.epoch) != (worker, generation, message.epoch):
                _log.info("A stale %s of job %s was refused.", type(message).__name__, message.job)
                return
            for part in _single(message):
                if isinstance(part, JobReport):
                    _note_node(held, part)
                self._post(Letter(part, (held,)))
            while len(self._letters) > _MAX_BACKLOG:
                self._has_room.clear()
                await self._has_room.wait()
        elif isinstance(message, PackEvent):
            self._post(Letter(message, ()))
        elif isinstance(message, CatalogPublished):
            self._catalog.publish(message)
            self._pool.known_catalog = self._catalog.digest
        elif isinstance(message, WorkerReady):
            self.wake()

    async def lost(self, worker: str, generation: int, evidence: dict[str, Any]) -> None:
        """WorkerListener: a process ended; its jobs are settled after everything it said before."""
        mine = tuple(held for held in self._held.values() if (held.worker, held.generation) == (worker, generation))
        self._post(Letter(Ended(worker, generation, evidence), mine))

    def _post(self, letter: Letter) -> None:
        self._letters.append(letter)
        self._has_letters.set()
        if not isinstance(letter.message, (JobReport, Preview)):
            self._is_urgent.set()

    async def _read_letters(self) -> None:
        num_single = 0  # letters to be stored one by one, to find the one that cannot be
        while True:
            await self._has_letters.wait()
            await self._linger()
            size, num_single = (1, num_single - 1) if num_single else (_MAX_BATCH, 0)
            batch, self._letters = self._letters[:size], self._letters[size:]
            if not self._letters:
                self._has_letters.clear()
            self._has_room.set()
            try:
                outcomes = await self._store_letters(batch)
            except StorageFailed as failure:
                _log.error("Messages of workers could not be stored; trying again: %s", failure)
                self._keep(batch)
                await asyncio.sleep(1.0)
            except Exception as fault:  # noqa: BLE001 - what a worker says must not end the listening
                if len(batch) == 1:
                    self._refuse(batch[0], fault)
                else:
                    num_single = len(batch)
                    self._keep(batch)
            else:
                for outcome in outcomes:
                    self._act(outcome)

    async def _store_letters(self, batch: Sequence[Letter]) -> list[Outcome]:
        known = self._catalog.current
        return await self._store.change(lambda change: apply(change, batch, self._placer, known))

    def _keep(self, batch: list[Letter]) -> None:
        """Put letters back where they were."""
        self._letters = batch + self._letters
        self._has_letters.set()

    def _refuse(self, letter: Letter, fault: Exception) -> None:
        """Fail the job of a letter that can never be stored; the others go on."""
        _log.error("A %s could not be stored.", type(letter.message).__name__, exc_info=fault)
        for held in letter.held:
            if isinstance(letter.message, Ended):  # its process is gone: the next start of the server settles it
                self._held.pop(held.job, None)
                continue
            sentence = f"What its worker said cannot be stored: {fault!r}"
            error = {"code": "message_refused", "message": sentence.encode("ascii", "backslashreplace").decode()}
            self._post(Letter(JobDone(held.job, held.epoch, "failed", error), (held,)))
            self._pool.send(held.worker, CancelJob(held.job), held.generation)

    async def _linger(self) -> None:
        """Wait a moment for the end of a short job, which then shares a commit with its beginning."""
        if not self._is_urgent.is_set():
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._is_urgent.wait(), _LINGER_S)
        self._is_urgent.clear()

    def _act(self, outcome: Outcome) -> None:
        held_jobs = {held.job: held for held in outcome.letter.held}
        for job in outcome.ended:
            if self._held.get(job) is held_jobs.get(job):
                del self._held[job]
        message = outcome.letter.message
        if isinstance(message, OutputsStaged):
            held = outcome.letter.held[0]
            if outcome.refused is not None:
                self._pool.send(held.worker, CancelJob(held.job), held.generation)
            else:
                self._spawn(self._place(held, message, outcome.placements))
        if outcome.ended:
            self.wake()

    def _spawn(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # ------------------------------------------------------------------ outputs

    async def _place(self, held: Held, message: OutputsStaged, placements: Sequence[Placement]) -> None:
        """Place named files and tell the worker their names, or end the job with the reason why not."""
        try:
            files = await self._desk.place(message, placements)
        except (OSError, AtelierError) as problem:
            sentence = f"An output file could not be placed: {problem}"
            error = {"code": "output_not_placed", "message": sentence, "node": message.node}
            self._post(Letter(JobDone(held.job, held.epoch, "failed", error), (held,)))
            self._pool.send(held.worker, CancelJob(held.job), held.generation)
            return
        self._pool.send(held.worker, OutputsPlaced(held.job, message.node, files), held.generation)

    # ------------------------------------------------------------------ steering

    async def cancel(self, job: JobId) -> JobRecord:
        """Cancel one job: at once while it waits, else cooperatively and, after the grace time, by force."""
        await self._store.change(lambda change: leases.request_cancel(change, job))
        held = self._held.get(job)
        if held is not None:
            self._pool.send(held.worker, CancelJob(job), held.generation)
            self._spawn(self._force_cancel(held))
        self.wake()
        return await self._store.get(job)

    async def _force_cancel(self, held: Held) -> None:
        await asyncio.sleep(self._settings.cancel_grace_s)
        if self._held.get(held.job) is held:
            _log.warning("Job %s does not stop; its worker %s is ended.", held.job, held.worker)
            self._pool.kill(held.worker, held.generation, "cancel")

    async def cancel_queued(self, jobs: list[JobId] | None) -> list[JobId]:
        """Cancel waiting jobs; those that wait no more are left alone."""

        def cancel(change: Change) -> list[JobId]:
            condition = JOBS.c.state == QUEUED
            ids = [head.id for head in change.heads(condition)] if jobs is None else jobs
            heads = [head for head in map(change.find, ids) if head is not None and head.state == QUEUED]
            for head in heads:
                leases.request_cancel(change, head.id, queued_only=True)
            return [JobId(head.id) for head in heads]

        return await self._store.change(cancel)

    async def move(self, job: JobId, *, front: bool, priority: int | None, before: JobId | None) -> JobRecord:
        """Change a waiting job's place in the queue; `before`, another waiting job, decides alone."""
        lowest = -float(self._store.take_number())

        def move(change: Change) -> None:
            head = leases.waiting(change, job)
            if before is not None:
                leases.put_before(change, head, leases.waiting(change, before), lowest)
                return
            if front:
                head.set(number=lowest)
            if priority is not None:
                head.set(priority=priority)

        await self._store.change(move)
        return await self._store.get(job)

    async def requeue(self, job: JobId) -> JobRecord:
        """Queue an ended job again."""
        await self._store.change(lambda change: leases.requeue(change, job))
        self.wake()
        return await self._store.get(job)

    async def set_paused(self, is_paused: bool) -> None:
        """Stop or go on claiming."""
        await self._store.set_paused(is_paused)
        self.wake()


def _claim(change: Change, loads: list[WorkerLoad]) -> list[leases.Grant]:
    """Lease as many of the next jobs as the loads have room for."""
    num_free = sum(load.max_held - load.num_held for load in loads)
    return leases.claim(change, lambda waiting: assign(waiting, loads), num_free)


def _single(
    message: JobReport | JobReports | JobDone | OutputsStaged | Preview,
) -> Sequence[JobReport | JobDone | OutputsStaged | Preview]:
    """The message, or the single reports a bundle stands for."""
    if isinstance(message, JobReports):
        return [JobReport(message.job, message.epoch, entry.kind, entry.data) for entry in message.entries]
    return (message,)


def _note_node(held: Held, report: JobReport) -> None:
    """Remember where the job is (evidence if the worker dies) and how its nodes are shown."""
    node = report.data.get("node")
    if not isinstance(node, str):
        return
    if report.kind == "node_started":
        held.last_node = node
    if report.kind == "node_finished":
        place = {key: report.data.get(key) for key in ("display", "parent", "real")}
        held.nodes[node] = {"node": node, **place}
