"""A job store in a folder, and jobs for it.

With ATELIER_TEST_DATABASE_URL (an empty PostgreSQL database nobody needs) the store is there instead:

    ATELIER_TEST_DATABASE_URL=postgresql+psycopg://… python3 main.py test tests/unit/server
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import sqlalchemy as sa

from engine.core.ids import ClientId, JobId, NodeId
from engine.server import leases
from engine.server.database import Database
from engine.server.dispatcher import WorkerLoad, assign
from engine.server.feed import Feed
from engine.server.jobs import JobStore, NewJob

__all__ = ["FakeClock", "claim", "new_job", "opened"]


class FakeClock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@asynccontextmanager
async def opened(
    folder: Path, *, history_limit: int = 1000, clock: Callable[[], float] | None = None, feed: Feed | None = None
) -> AsyncIterator[JobStore]:
    database = Database.open(_database_url(folder))
    store = JobStore(database, feed or Feed(), clock or FakeClock(), history_limit)
    await store.load()
    try:
        yield store
    finally:
        database.close()


def _database_url(folder: Path) -> str:
    """A fresh database on each test's first use, the same one on its further uses."""
    given = os.environ.get("ATELIER_TEST_DATABASE_URL")
    if given is None:
        return f"sqlite:///{folder / 'jobs.sqlite3'}"
    if not (folder / "used").exists():
        (folder / "used").touch()
        with sa.create_engine(given, poolclass=sa.NullPool).begin() as connection:
            connection.execute(sa.text("DROP SCHEMA public CASCADE"))
            connection.execute(sa.text("CREATE SCHEMA public"))
    return given


def new_job(store: JobStore, name: str, **changes) -> NewJob:
    counter = store.take_number()
    values = {
        "id": JobId(name),
        "counter": counter,
        "number": float(counter),
        "priority": 0,
        "client_id": ClientId("me"),
        "idempotency_key": None,
        "body_digest": f"body of {name}",
        "targets": (NodeId("1"),),
        "prompt": {"1": {"class_type": "Show", "inputs": {}}},
        "extra": {},
        "alone": False,
    }
    return NewJob(**{**values, **changes})


async def claim(store: JobStore, max_held: int = 1, worker: str = "w") -> list[leases.Grant]:
    """What one idle worker gets."""
    loads = [WorkerLoad(worker, 0, max_held)]
    return await store.change(lambda change: leases.claim(change, lambda waiting: assign(waiting, loads), max_held))
