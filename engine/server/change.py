"""One transaction's changes to jobs: heads read once, updates and events written together at the end."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from engine.core.errors import NotFoundError
from engine.core.ids import ClientId, JobId
from engine.server.feed import FeedItem
from engine.server.records import EventRecord
from engine.server.tables import EVENTS, JOBS

__all__ = ["Change", "JobHead", "dump", "no_such_job"]

_HEAD_COLUMNS = (
    JOBS.c.id, JOBS.c.state, JOBS.c.epoch, JOBS.c.attempts, JOBS.c.last_event, JOBS.c.client_id, JOBS.c.crashes,
    JOBS.c.server_losses, JOBS.c.cancel_requested, JOBS.c.worker, JOBS.c.started_s, JOBS.c.number, JOBS.c.priority,
    JOBS.c.alone,
)  # fmt: skip

_HEAD = sa.select(*_HEAD_COLUMNS)
_HEAD_BY_ID = _HEAD.where(JOBS.c.id == sa.bindparam("job"))
_HEADS = _HEAD.order_by(JOBS.c.priority.desc(), JOBS.c.number, JOBS.c.sequence)
_ADD_EVENTS = sa.insert(EVENTS)


@functools.cache
def _update(names: tuple[str, ...]) -> sa.Update:
    """The statement that sets these columns of one job; building one costs more than running it, so they are kept."""
    return (
        sa.update(JOBS)
        .where(JOBS.c.id == sa.bindparam("job"))
        .values({name: sa.bindparam(f"new_{name}") for name in names})
    )


def dump(value: Any) -> str:
    """JSON text as stored: compact and pure ASCII, so that every database takes it (lone surrogates, NUL)."""
    return json.dumps(value, separators=(",", ":"))


def no_such_job(job: str) -> NotFoundError:
    """The error for an unknown job id."""
    return NotFoundError(f"There is no job {job[:100]!r}.", hint="List the jobs to see which there are.")


class JobHead:
    """A job row's small columns within one transaction; `set` records what changes."""

    __slots__ = ("changed", "values")

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self.changed: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None

    def set(self, **values: Any) -> None:
        """Change columns; written when the transaction ends."""
        self.values.update(values)
        self.changed.update(values)

    def take_values(self) -> dict[str, Any]:
        """All values, for the insert of a new row; nothing is left to update."""
        self.changed = {}
        return self.values

    @property
    def crash_records(self) -> list[dict[str, Any]]:
        """Evidence of the workers lost with this job so far."""
        return json.loads(self.values["crashes"])


class Change:
    """The unit of work of one operation. Call `write` once at the end."""

    def __init__(self, connection: sa.Connection, now_s: float) -> None:
        self.connection = connection
        self.now_s = now_s
        self.events: list[EventRecord] = []
        self.shown: list[FeedItem] = []
        self.moves: list[tuple[str | None, str | None]] = []
        self._heads: dict[str, JobHead] = {}

    def find(self, job: str) -> JobHead | None:
        """The head of the job, or None."""
        head = self._heads.get(job)
        if head is None:
            row = self.connection.execute(_HEAD_BY_ID, {"job": job}).mappings().first()
            if row is None:
                return None
            head = self._heads[job] = JobHead(dict(row))
        return head

    def head(self, job: str) -> JobHead:
        """The head of the job. Raises NotFoundError."""
        head = self.find(job)
        if head is None:
            raise no_such_job(job)
        return head

    def heads(self, condition: Any, limit: int | None = None) -> list[JobHead]:
        """The heads of the jobs that fit `condition`, in running order."""
        query = _HEADS.where(condition).limit(limit)
        heads = []
        for row in self.connection.execute(query).mappings():
            heads.append(self._heads.setdefault(row["id"], JobHead(dict(row))))
        return heads

    def adopt(self, values: dict[str, Any]) -> JobHead:
        """Track a row that this transaction inserted."""
        head = self._heads[values["id"]] = JobHead(values)
        return head

    def move(self, head: JobHead, state: str, **values: Any) -> None:
        """Change the job's state (and further columns), keeping the counters right."""
        self.moves.append((head.state, state))
        head.set(state=state, **values)

    def append(self, head: JobHead, kind: str, data: Mapping[str, Any]) -> EventRecord:
        """Add an entry to the job's log; it gets the next number."""
        seq = head.last_event + 1
        head.set(last_event=seq)
        client = None if head.client_id is None else ClientId(head.client_id)
        event = EventRecord(JobId(head.id), seq, kind, data, self.now_s, client)
        self.events.append(event)
        self.shown.append(event)
        return event

    def show(self, item: FeedItem) -> None:
        """Let listeners see an item that is not stored, in its place among the events."""
        self.shown.append(item)

    def write(self) -> None:
        """Write updates and events."""
        for head in self._heads.values():
            if head.changed:
                values = {f"new_{name}": value for name, value in head.changed.items()}
                self.connection.execute(_update(tuple(sorted(head.changed))), {"job": head.id, **values})
                head.changed = {}
        if self.events:
            rows = [
                {"job": item.job, "seq": item.seq, "kind": item.kind, "data": dump(item.data), "time_s": item.time_s}
                for item in self.events
            ]
            self.connection.execute(_ADD_EVENTS, rows)
