"""Puts the parts of an engine together, starts them in order and stops them in reverse."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

from engine.core.settings import Settings
from engine.server.assets import AssetStore
from engine.server.catalog import CatalogHolder
from engine.server.conductor import Conductor
from engine.server.core import Engine
from engine.server.data_lock import DataLock
from engine.server.database import Database
from engine.server.downloads import Downloads
from engine.server.feed import Feed, LogEntry
from engine.server.jobs import JobStore
from engine.server.logs import CleanFormatter, LogRing, RingHandler
from engine.server.model_files import ModelFiles
from engine.server.outputs import OutputPlacer
from engine.server.remote_files import RemoteFiles
from engine.server.services import Services
from engine.server.submission import Submitter
from engine.server.thumbnails import Thumbnails
from engine.server.uploads import Uploads
from engine.server.worker_process import end_stale_workers
from engine.server.workers import WorkerPool
from engine.server.workflows import WorkflowStore

__all__ = ["DRAIN_GRACE_S", "running_engine"]

DRAIN_GRACE_S = 5.0
"""How long a stopping server lets running jobs go on before it hands them back."""

_LOG_BYTES = 5 << 20


@asynccontextmanager
async def running_engine(
    settings: Settings, clock: Callable[[], float], worker_command: Sequence[str] | None = None
) -> AsyncIterator[Engine]:
    """A whole engine. `worker_command` replaces the real worker's command line (tests)."""
    asyncio.get_running_loop().set_default_executor(_started_pool(min(32, (os.cpu_count() or 1) + 4)))
    folders = settings.folders
    for folder in (folders.data, folders.input, folders.output, folders.user):
        folder.mkdir(parents=True, exist_ok=True)
    lock = DataLock(folders.data)
    ring = LogRing(secrets=(settings.token or "",))
    handlers = _attach_logs(settings, ring)
    try:
        database = await asyncio.to_thread(Database.open, settings.database)
        try:
            async with _running(settings, clock, database, ring, worker_command) as engine:
                yield engine
        finally:
            await asyncio.to_thread(database.close)
    finally:
        _detach_logs(handlers)
        lock.release()


@asynccontextmanager
async def _running(
    settings: Settings,
    clock: Callable[[], float],
    database: Database,
    ring: LogRing,
    worker_command: Sequence[str] | None,
) -> AsyncIterator[Engine]:
    folders = settings.folders
    feed = Feed()
    _forward_log(ring, feed)
    store = JobStore(database, feed, clock, settings.history_limit)
    await store.load()
    catalog = CatalogHolder(folders)
    catalog.load()
    placer = OutputPlacer(folders)
    await asyncio.to_thread(_empty_temp, folders.temp)
    conductor = Conductor(settings, store, placer, catalog)
    pool = WorkerPool(settings, conductor, worker_command)
    pool.known_catalog = catalog.digest
    conductor.attach(pool)
    downloads = Downloads(folders, RemoteFiles(settings.model_hosts), feed, clock)
    await asyncio.to_thread(downloads.load)
    engine = Engine(Submitter(store, catalog, pool, conductor), conductor)
    engine.services = Services(
        settings=settings,
        engine=engine,
        jobs=store,
        feed=feed,
        catalog=catalog,
        assets=AssetStore(store, folders),
        uploads=Uploads(folders, settings.max_upload_bytes),
        thumbnails=Thumbnails(),
        workers=pool,
        workflows=WorkflowStore(folders),
        models=ModelFiles(folders),
        downloads=downloads,
        logs=ring,
        clock=clock,
        started_s=clock(),
    )
    await asyncio.to_thread(end_stale_workers, folders.data)
    await conductor.recover()
    await pool.start()
    conductor.start()
    try:
        yield engine
    finally:
        await downloads.close()
        await conductor.stop(DRAIN_GRACE_S)
        await pool.stop()
        feed.close()
        ring.on_entry = None
        await asyncio.to_thread(_empty_temp, folders.temp)


def _started_pool(num_threads: int) -> ThreadPoolExecutor:
    """Threads for calls that block, all there from the start: a server whose threads become more has lost some."""
    pool = ThreadPoolExecutor(num_threads, "blocking")
    release = threading.Event()
    for _ in range(num_threads):
        pool.submit(release.wait)
    release.set()
    return pool


def _empty_temp(temp: Path) -> None:
    """Previews last as long as the server that shows them."""
    if temp.is_symlink():
        return  # somebody else's folder: not ours to empty
    shutil.rmtree(temp, ignore_errors=True)
    temp.mkdir(parents=True, exist_ok=True)


def _forward_log(ring: LogRing, feed: Feed) -> None:
    loop = asyncio.get_running_loop()

    def forward(entry: LogEntry) -> None:
        with suppress(RuntimeError):  # the loop has just closed; nobody listens any more
            loop.call_soon_threadsafe(feed.publish, (entry,))

    ring.on_entry = forward


def _attach_logs(settings: Settings, ring: LogRing) -> list[logging.Handler]:
    path = settings.folders.data / "logs" / "server.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    to_file = RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=3, encoding="utf-8", delay=True)
    to_file.setFormatter(CleanFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s", ring.cleaned))
    handlers: list[logging.Handler] = [RingHandler(ring), to_file]
    log = logging.getLogger("engine")
    log.setLevel(getattr(logging, settings.verbosity.upper(), logging.INFO))
    for handler in handlers:
        log.addHandler(handler)
    return handlers


def _detach_logs(handlers: Sequence[logging.Handler]) -> None:
    for handler in handlers:
        logging.getLogger("engine").removeHandler(handler)
        handler.close()
