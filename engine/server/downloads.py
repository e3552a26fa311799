"""Models that people asked to be downloaded: received beside their place, checked, and only then given their name.

A part outlives a lost connection, a stop and a restart, and goes on where it ended when people say so; one that is
cancelled, or that is not what it should be, is removed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import shutil
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp

from engine.core.containment import resolve_inside
from engine.core.errors import ConflictError, NotFoundError
from engine.core.folders import Folders
from engine.core.ids import JobId
from engine.server.download_part import Part
from engine.server.durable_files import write_durably
from engine.server.failures import DownloadRefused, disk_failure
from engine.server.feed import Feed
from engine.server.records import EventRecord
from engine.server.remote_files import RangeIgnored, RemoteFiles

__all__ = ["DOWNLOAD", "Download", "Downloads", "Offer", "Wish"]

DOWNLOAD = "model_download"
"""The kind of the event that tells how a download is; it belongs to no job."""

_NUM_AT_ONCE = 2
_MAX_LISTED = 100
_MAX_TRIES = 5
_MAX_RESTARTS = 3
_FIRST_WAIT_S = 1.0
_EVERY_S = 0.25
_SPARE_BYTES = 1 << 30
_SUFFIX = ".safetensors"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FAILURES = (aiohttp.ClientError, asyncio.TimeoutError, ConnectionError)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wish:
    """A file somebody wants: `name` in the model folder `folder`. `sha256` "" leaves the digest to the host."""

    folder: str
    name: str
    url: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """What the host would send for a wish, and how much room there is for it."""

    folder: str
    name: str
    url: str
    host: str
    sha256: str
    size_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Download:
    """A download and how far it is. `state`: waiting, running, done, failed (see `error`) or stopped."""

    id: str
    folder: str
    name: str
    url: str
    host: str
    sha256: str
    size_bytes: int
    received_bytes: int = 0
    state: str = "waiting"
    error: str = ""


class Downloads:
    """Runs downloads, two at a time. Used from the event loop."""

    def __init__(
        self,
        folders: Folders,
        remote: RemoteFiles,
        feed: Feed,
        clock: Callable[[], float],
        wait: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._folders = folders
        self._remote = remote
        self._feed = feed
        self._clock = clock
        self._wait = wait
        self._path = folders.data / "downloads.json"
        self._known: dict[str, Download] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(_NUM_AT_ONCE)

    def load(self) -> None:
        """Take up what an earlier server left unfinished; nothing of it starts by itself."""
        try:
            records = [Download(**record) for record in json.loads(self._path.read_bytes())]
        except FileNotFoundError:
            return
        except (ValueError, TypeError) as error:
            _log.warning("The list of unfinished downloads cannot be read: %s", error)
            return
        for record in records:
            if record.folder not in self._folders.models:
                continue
            part = self._part(record)
            if part.size_bytes > 0:
                self._known[record.id] = replace(record, state="stopped", received_bytes=part.size_bytes)

    async def close(self) -> None:
        """Stop what runs; its parts stay."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def list(self) -> list[Download]:
        """All downloads since the start and those left from before, oldest first."""
        return list(self._known.values())

    async def offer(self, wish: Wish) -> Offer:
        """What the host says. Raises DownloadRefused, ConflictError, NotFoundError, ContainmentError."""
        given = wish.sha256.lower()
        if given and not _SHA256.fullmatch(given):
            raise DownloadRefused(f"{given!r} is no SHA-256.", code="bad_digest")
        target = await asyncio.to_thread(self._target, wish)
        try:
            found = await self._remote.ask(wish.url)
        except (*_FAILURES, OSError) as error:
            raise DownloadRefused(f"The host cannot be asked: {error}", code="host_away") from error
        if given and found.sha256 and given != found.sha256:
            raise DownloadRefused(
                f"{wish.name} is not the file that the workflow means: the host has another digest.",
                code="digest_differs",
            )
        if not (given or found.sha256):
            raise DownloadRefused(
                f"Neither the workflow nor the host gives a digest of {wish.name}, so it cannot be checked.",
                code="no_digest",
                hint="Download it yourself, if you trust where it comes from.",
            )
        free_bytes = await asyncio.to_thread(_free_bytes, target.parent)
        return Offer(wish.folder, wish.name, wish.url, found.host, given or found.sha256, found.size_bytes, free_bytes)

    async def start(self, wish: Wish) -> Download:
        """Begin a download. Raises what `offer` raises, and DownloadRefused where there is no room."""
        offer = await self.offer(wish)
        if offer.free_bytes < offer.size_bytes + _SPARE_BYTES:
            raise DownloadRefused(
                f"There is no room for {wish.name}: {offer.size_bytes >> 20} MB of {offer.free_bytes >> 20} MB free.",
                code="no_room",
            )
        if any((item.folder, item.name) == (wish.folder, wish.name) and item.state != "done" for item in self.list()):
            raise ConflictError(f"{wish.name} is being downloaded already.", code="download_exists")
        self._forget_old()
        record = Download(
            uuid.uuid4().hex, offer.folder, offer.name, offer.url, offer.host, offer.sha256, offer.size_bytes
        )
        return self._begin(record)

    def resume(self, download: str) -> Download:
        """Go on with one that failed or was stopped. Raises NotFoundError, ConflictError."""
        record = self._get(download)
        if record.state not in ("failed", "stopped"):
            raise ConflictError("This download has not stopped.", code="not_stopped")
        return self._begin(replace(record, state="waiting", error=""))

    async def remove(self, download: str) -> None:
        """Stop a download and remove its part; of one that is done, its entry alone. Raises NotFoundError."""
        record = self._get(download)
        task = self._tasks.get(download)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        del self._known[download]
        await asyncio.to_thread(self._part(record).remove)
        self._keep()
        self._tell(replace(record, state="removed"))

    # ------------------------------------------------------------------ one download

    def _begin(self, record: Download) -> Download:
        self._put(record)
        self._keep()
        self._tasks[record.id] = asyncio.create_task(self._run(record.id))
        return record

    async def _run(self, download: str) -> None:
        """Receive one file; whatever happens ends up in its record."""
        try:
            async with self._slots:
                self._put(replace(self._known[download], state="running"))
                await self._receive(download)
            self._put(replace(self._known[download], state="done"))
        except asyncio.CancelledError:
            self._put(replace(self._known[download], state="stopped"))
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, people see it beside the file
            failure = disk_failure(error) if isinstance(error, OSError) else None
            sentence = failure.message if failure is not None else getattr(error, "message", "") or str(error)
            _log.warning("The download of %s failed: %s", self._known[download].name, sentence)
            self._put(replace(self._known[download], state="failed", error=sentence or type(error).__name__))
        finally:
            del self._tasks[download]
            self._keep()

    async def _receive(self, download: str) -> None:
        record = self._known[download]
        part = self._part(record)
        try:
            await asyncio.to_thread(part.open)
            tries = num_restarts = 0
            while part.size_bytes < record.size_bytes:
                before, failure = part.size_bytes, None
                try:
                    await self._receive_some(record, part)
                except RangeIgnored:
                    await asyncio.to_thread(part.restart)
                    num_restarts += 1
                except _FAILURES as error:
                    failure = error
                tries = 0 if part.size_bytes > before else tries + 1
                if tries >= _MAX_TRIES or num_restarts >= _MAX_RESTARTS:
                    raise failure or DownloadRefused("The host ends the file too early.", code="size_differs")
                if part.size_bytes < record.size_bytes:
                    await self._wait(_FIRST_WAIT_S * 2**tries)
            target = await asyncio.to_thread(self._target, Wish(record.folder, record.name, record.url))
            await asyncio.to_thread(part.finish, target, record.sha256)
        finally:
            await asyncio.to_thread(part.close)

    async def _receive_some(self, record: Download, part: Part) -> None:
        """Write what the host sends until it stops sending."""
        shown_s = 0.0
        async for chunk in self._remote.read(record.url, part.size_bytes):
            if part.size_bytes + len(chunk) > record.size_bytes:
                await asyncio.to_thread(part.remove)
                raise DownloadRefused("The host sends more than it said.", code="size_differs")
            await asyncio.to_thread(part.write, chunk)
            if self._clock() - shown_s >= _EVERY_S:
                shown_s = self._clock()
                self._put(replace(self._known[record.id], received_bytes=part.size_bytes))
        self._put(replace(self._known[record.id], received_bytes=part.size_bytes))

    # ------------------------------------------------------------------ places and records

    def _target(self, wish: Wish) -> Path:
        """Where a wished file belongs. Raises NotFoundError, ContainmentError, DownloadRefused, ConflictError."""
        folder = self._folders.models.get(wish.folder)
        if folder is None or _SUFFIX not in folder.extensions or not folder.paths:
            raise NotFoundError(f"There is no model folder {wish.folder[:100]!r} for such files.")
        parts = wish.name.replace("\\", "/").split("/")
        if not wish.name.endswith(_SUFFIX) or any(not part.strip() or part.startswith(".") for part in parts):
            raise DownloadRefused(
                f"{wish.name[:200]!r} is not downloaded: only {_SUFFIX} files are, for they can hold no program.",
                code="not_safetensors",
            )
        target = resolve_inside(self._root(wish.folder), wish.name)
        if target.exists() or wish.name in self._folders.model_names(wish.folder):
            raise ConflictError(f"{wish.name} is there already.", code="file_exists")
        return target

    def _root(self, folder: str) -> Path:
        """The search folder that is called as its kind is, else the first one."""
        paths = self._folders.models[folder].paths
        return next((path for path in paths if path.name == folder), paths[0])

    def _part(self, record: Download) -> Part:
        return Part(self._root(record.folder) / f".{record.id}.part")

    def _get(self, download: str) -> Download:
        record = self._known.get(download)
        if record is None:
            raise NotFoundError("There is no such download.")
        return record

    def _put(self, record: Download) -> None:
        self._known[record.id] = record
        self._tell(record)

    def _tell(self, record: Download) -> None:
        self._feed.publish([EventRecord(JobId(""), 0, DOWNLOAD, asdict(record), self._clock())])

    def _keep(self) -> None:
        unfinished = [asdict(item) for item in self._known.values() if item.state != "done"]
        try:
            write_durably(self._path, json.dumps(unfinished).encode())
        except OSError as error:
            _log.warning("The list of unfinished downloads could not be kept: %s", error)

    def _forget_old(self) -> None:
        done = [item.id for item in self._known.values() if item.state == "done"]
        for old in done[: max(0, len(self._known) + 1 - _MAX_LISTED)]:
            del self._known[old]


def _free_bytes(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
