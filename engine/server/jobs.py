"""The durable job store: what was accepted is on disk, and every change of a job is one transaction with its events."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa

from engine.core.errors import ConflictError
from engine.core.ids import ClientId, JobId, NodeId
from engine.server.change import Change, dump, no_such_job
from engine.server.database import Database
from engine.server.feed import Feed
from engine.server.records import (
    ACTIVE_STATES,
    QUEUED,
    TERMINAL_STATES,
    EventRecord,
    JobPage,
    JobQuery,
    JobRecord,
    QueueCounts,
)
from engine.server.tables import EVENTS, JOBS, STATE

__all__ = ["JobStore", "NewJob"]

Result = TypeVar("Result")
_DOCUMENTS = ("prompt", "extra")
_RESULT_KEYS = ("outputs", "nodes", "ran", "cached", "reasons", "stats")
_PAUSED = "paused"
_MOVING_KINDS = frozenset(
    {"job_queued", "job_leased", "job_started", "job_requeued", *(f"job_{s}" for s in TERMINAL_STATES)}
)
"""Events that tell of a change of state; a commit holds one for each of its moves, in the same order."""
_LIGHT = tuple(column for column in JOBS.c if column.name not in _DOCUMENTS)
_BY_ID = JOBS.c.id == sa.bindparam("job")
_WHOLE_JOB = sa.select(JOBS).where(_BY_ID)
_LIGHT_JOB = sa.select(*_LIGHT).where(_BY_ID)
_ADD_JOB = sa.insert(JOBS)


@dataclass(frozen=True, slots=True)
class NewJob:
    """A checked job about to be stored. `body_digest` identifies the request for repeats ("" when it has no key)."""

    id: JobId
    counter: int
    number: float
    priority: int
    client_id: ClientId | None
    idempotency_key: str | None
    body_digest: str
    targets: tuple[NodeId, ...]
    prompt: Mapping[str, Any]
    extra: Mapping[str, Any]
    alone: bool


class JobStore:
    """Jobs on disk. Every coroutine returns after the commit; its events are published then, in commit order."""

    def __init__(self, database: Database, feed: Feed, clock: Callable[[], float], history_limit: int) -> None:
        self._database = database
        self._feed = feed
        self._clock = clock
        self._history_limit = max(0, history_limit)
        self._counters: Iterable[int] = itertools.count(1)
        self._num_by_state: dict[str, int] = {}
        self.is_paused = False

    async def load(self) -> None:
        """Read counters and the pause flag; call once after opening."""

        def read(connection: sa.Connection) -> tuple[dict[str, int], int, bool]:
            counts = sa.select(JOBS.c.state, sa.func.count()).group_by(JOBS.c.state)
            paused = connection.scalar(sa.select(STATE.c.value).where(STATE.c.name == _PAUSED))
            highest = connection.scalar(sa.select(sa.func.max(JOBS.c.counter))) or 0
            # What was moved to the front has a number of its own; the next one goes before it.
            foremost = connection.scalar(sa.select(sa.func.min(JOBS.c.number)).where(JOBS.c.state == QUEUED)) or 0
            highest = max(highest, math.ceil(-foremost))
            return {state: num for state, num in connection.execute(counts)}, highest, paused == "true"

        self._num_by_state, highest, self.is_paused = await self._database.run(read)
        self._counters = itertools.count(highest + 1)

    @property
    def num_commits(self) -> int:
        """Transactions since the store was opened (operations share them)."""
        return self._database.num_commits

    def take_number(self) -> int:
        """The next queue number."""
        return next(self._counters)  # type: ignore[call-overload]

    def counts(self) -> QueueCounts:
        """Pending and running counts, from memory."""
        num = self._num_by_state.get
        return QueueCounts(num(QUEUED, 0), sum(num(state, 0) for state in ACTIVE_STATES), self.is_paused)

    # ------------------------------------------------------------------ transactions

    async def change(self, operation: Callable[[Change], Result]) -> Result:
        """Run `operation(change)` as one durable transaction; publish its events after the commit."""

        def run(connection: sa.Connection) -> tuple[Result, Change]:
            change = Change(connection, self._clock())
            result = operation(change)
            change.write()
            self._trim_history(change)
            return result, change

        return (await self._database.run(run, self._committed))[0]

    async def read(self, query: Callable[[sa.Connection], Result]) -> Result:
        """Run a read-only query on the store's thread."""
        return await self._database.run(query)

    def _committed(self, outcome: tuple[Any, Change]) -> None:
        """Show what a commit holds, the queue's counts after each change of state, as if each had its own commit."""
        change = outcome[1]
        moves = iter(change.moves)
        for item in change.shown:
            self._feed.publish([item])
            if isinstance(item, EventRecord) and item.kind in _MOVING_KINDS:
                self._count(*next(moves, (None, None)))
                self.announce_queue()
        rest = list(moves)  # jobs forgotten: no event tells of them
        for old, new in rest:
            self._count(old, new)
        if rest:
            self.announce_queue()

    def _count(self, old: str | None, new: str | None) -> None:
        for state, difference in ((old, -1), (new, 1)):
            if state is not None:
                self._num_by_state[state] = self._num_by_state.get(state, 0) + difference

    def announce_queue(self) -> None:
        """Tell listeners the queue's counts."""
        counts = self.counts()
        data = {"pending": counts.pending, "running": counts.running, "paused": counts.is_paused}
        self._feed.publish([EventRecord(JobId(""), 0, "queue_changed", data, self._clock())])

    def _trim_history(self, change: Change) -> None:
        ended = sum(self._num_by_state.get(state, 0) for state in TERMINAL_STATES)
        ended += sum((new in TERMINAL_STATES) - (old in TERMINAL_STATES) for old, new in change.moves)
        surplus = ended - self._history_limit
        if surplus <= 0 or not change.moves:
            return
        oldest = sa.select(JOBS.c.id, JOBS.c.state).where(JOBS.c.state.in_(TERMINAL_STATES))
        oldest = oldest.order_by(JOBS.c.finished_s, JOBS.c.sequence).limit(surplus)
        self._forget(change, change.connection.execute(oldest).all())

    def _forget(self, change: Change, rows: Iterable[Any]) -> None:
        rows = list(rows)
        for start in range(0, len(rows), 500):
            ids = [row.id for row in rows[start : start + 500]]
            change.connection.execute(sa.delete(EVENTS).where(EVENTS.c.job.in_(ids)))
            change.connection.execute(sa.delete(JOBS).where(JOBS.c.id.in_(ids)))
        change.moves.extend((row.state, None) for row in rows)

    # ------------------------------------------------------------------ jobs

    async def submit(self, new: NewJob, also: Callable[[Change], None] | None = None) -> tuple[JobRecord, bool]:
        """Store a job; (record, whether it is new). `also` runs in the same transaction when it is.

        Raises ConflictError when its key or id holds another body.
        """

        def store(change: Change) -> JobRecord | None:
            if _repeat_id(change.connection, new.id, new.idempotency_key, new.body_digest) is not None:
                return None
            head = change.adopt(_row_values(new, change.now_s))
            change.append(head, "job_queued", {"number": new.number})
            inserted = change.connection.execute(_ADD_JOB, head.take_values()).inserted_primary_key
            assert inserted is not None  # one row with a numbered key went in
            sequence = int(inserted[0])
            change.moves.append((None, QUEUED))
            if also is not None:
                also(change)
            return _new_record(new, sequence, change.now_s)

        created = await self.change(store)
        if created is not None:
            return created, True
        return await self._get_repeat(new), False

    async def find_repeat(self, job: JobId | None, key: str | None, body_digest: str) -> JobRecord | None:
        """The job an equal request made before, or None. Raises ConflictError when the body differs."""
        if job is None and key is None:
            return None

        def look(connection: sa.Connection) -> str | None:
            return _repeat_id(connection, job, key, body_digest)

        found = await self.read(look)
        return None if found is None else await self.get(JobId(found))

    async def _get_repeat(self, new: NewJob) -> JobRecord:
        found = await self.find_repeat(new.id, new.idempotency_key, new.body_digest)
        if found is None:
            raise no_such_job(new.id)
        return found

    async def get(self, job: JobId, *, with_documents: bool = True) -> JobRecord:
        """One job. Raises NotFoundError."""
        query = _WHOLE_JOB if with_documents else _LIGHT_JOB
        row = await self.read(lambda connection: connection.execute(query, {"job": job}).mappings().first())
        if row is None:
            raise no_such_job(job)
        return _record(row)

    async def list(self, query: JobQuery) -> JobPage:
        """A page of jobs and how many match."""
        columns = tuple(JOBS.c) if query.with_documents else _LIGHT
        conditions = []
        if query.states:
            conditions.append(JOBS.c.state.in_(query.states))
        if query.client_id is not None:
            conditions.append(JOBS.c.client_id == query.client_id)
        select = sa.select(*columns).where(*conditions).offset(query.offset).limit(query.limit)
        if query.in_queue_order:
            select = select.order_by(JOBS.c.priority.desc(), JOBS.c.number, JOBS.c.sequence)
        else:
            select = select.order_by(JOBS.c.sequence.desc() if query.newest_first else JOBS.c.sequence)
        count = sa.select(sa.func.count()).select_from(JOBS).where(*conditions)

        def read(connection: sa.Connection) -> tuple[Any, int]:
            return connection.execute(select).mappings().all(), connection.scalar(count) or 0

        rows, total = await self.read(read)
        return JobPage(tuple(_record(row) for row in rows), total)

    async def held_jobs(self) -> list[JobId]:
        """Ids of the jobs that workers hold now, in running order."""
        condition = JOBS.c.state.in_(ACTIVE_STATES)
        return await self.read(lambda connection: [JobId(head.id) for head in Change(connection, 0.0).heads(condition)])

    async def delete_ended(self, jobs: list[JobId] | None) -> list[JobId]:
        """Forget ended jobs (all, or those named) and their events; the ids that went."""

        def delete(change: Change) -> list[JobId]:
            ended = sa.select(JOBS.c.id, JOBS.c.state).where(JOBS.c.state.in_(TERMINAL_STATES))
            if jobs is None:
                rows = change.connection.execute(ended).all()
            else:
                rows = []
                for start in range(0, len(jobs), 500):
                    rows += change.connection.execute(ended.where(JOBS.c.id.in_(jobs[start : start + 500]))).all()
            self._forget(change, rows)
            return [JobId(row.id) for row in rows]

        return await self.change(delete)

    async def set_paused(self, is_paused: bool) -> None:
        """Remember whether jobs may start, across restarts."""

        def store(change: Change) -> None:
            change.connection.execute(sa.delete(STATE).where(STATE.c.name == _PAUSED))
            change.connection.execute(sa.insert(STATE).values(name=_PAUSED, value="true" if is_paused else "false"))

        await self.change(store)
        self.is_paused = is_paused
        self.announce_queue()

    # ------------------------------------------------------------------ events

    async def events(self, job: JobId, after: int, limit: int) -> list[EventRecord]:
        """Stored events with `seq > after`, at most `limit`. Raises NotFoundError."""
        select = sa.select(EVENTS).where(EVENTS.c.job == job, EVENTS.c.seq > after).order_by(EVENTS.c.seq).limit(limit)

        def read(connection: sa.Connection) -> tuple[Any, Any]:
            owner = connection.execute(sa.select(JOBS.c.client_id).where(JOBS.c.id == job)).first()
            return owner, connection.execute(select).all() if owner is not None else ()

        owner, rows = await self.read(read)
        if owner is None:
            raise no_such_job(job)
        return [
            EventRecord(JobId(row.job), row.seq, row.kind, json.loads(row.data), row.time_s, owner.client_id)
            for row in rows
        ]


def _repeat_id(connection: sa.Connection, job: str | None, key: str | None, body_digest: str) -> str | None:
    conditions = []
    if job is not None:
        conditions.append(JOBS.c.id == job)
    if key is not None:
        conditions.append(JOBS.c.idempotency_key == key)
    rows = connection.execute(sa.select(JOBS.c.id, JOBS.c.body_digest).where(sa.or_(*conditions))).all()
    if not rows:
        return None
    if (
        len(rows) > 1
        or not body_digest
        or rows[0].body_digest != body_digest
        or (job is not None and rows[0].id != job)
    ):
        raise ConflictError(
            "This job id or idempotency key was used for another request.",
            code="key_reused",
            hint="Use a new key for a new request.",
            details={"job": rows[0].id},
        )
    return rows[0].id


def _row_values(new: NewJob, now_s: float) -> dict[str, Any]:
    return {
        "id": new.id,
        "counter": new.counter,
        "number": new.number,
        "priority": new.priority,
        "state": QUEUED,
        "client_id": new.client_id,
        "idempotency_key": new.idempotency_key,
        "body_digest": new.body_digest,
        "targets": dump(new.targets),
        "prompt": dump(new.prompt),
        "extra": dump(new.extra),
        "alone": new.alone,
        "epoch": 0,
        "attempts": 0,
        "server_losses": 0,
        "cancel_requested": False,
        "worker": None,
        "last_event": 0,
        "created_s": now_s,
        "started_s": None,
        "finished_s": None,
        "error": None,
        "crashes": "[]",
        "result": None,
    }


def _new_record(new: NewJob, sequence: int, now_s: float) -> JobRecord:
    return JobRecord(
        id=new.id,
        sequence=sequence,
        number=new.number,
        priority=new.priority,
        state=QUEUED,
        client_id=new.client_id,
        targets=new.targets,
        alone=new.alone,
        epoch=0,
        attempts=0,
        server_losses=0,
        cancel_requested=False,
        worker=None,
        created_s=now_s,
        started_s=None,
        finished_s=None,
        prompt=new.prompt,
        extra=new.extra,
    )


def _record(row: Any) -> JobRecord:
    values = dict(row)
    for name in ("counter", "idempotency_key", "body_digest", "last_event"):
        values.pop(name)
    result = json.loads(values.pop("result") or "{}")
    values.update({key: result[key] for key in _RESULT_KEYS if key in result})
    for name in ("prompt", "extra", "error"):
        if values.get(name) is not None:
            values[name] = json.loads(values[name])
    for name in ("targets", "crashes"):
        values[name] = tuple(json.loads(values[name]))
    for name in ("ran", "cached"):
        values[name] = tuple(values.get(name, ()))
    return JobRecord(**values)
