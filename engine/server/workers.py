"""The workers of this machine: one child process per device, started, watched and restarted."""

from __future__ import annotations

import asyncio
import itertools
import logging
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from engine.core.settings import Settings, settings_to_json
from engine.protocol.messages import (
    CallPack,
    CheckPrompt,
    CheckReply,
    ForecastPrompt,
    ForecastReply,
    FreeMemory,
    Message,
    PackReply,
    Ping,
    Pong,
    RefreshCatalog,
    Shutdown,
    Start,
    WorkerReady,
)
from engine.server.worker_process import WorkerProcess

__all__ = ["WorkerInfo", "WorkerListener", "WorkerPool", "worker_command"]

_PING_S = 2.0
_MAX_BACKOFF_S = 30.0
_STOP_S = 5.0
"""How long a worker may take to end: it writes the last values of its cache to disk."""

_OVER_RAM = 1.02
"""How far beyond --max-ram a worker's own memory may go."""

_RECYCLE_GRACE_S = 24 * 3600.0
"""How long jobs may go on in a worker that is to be replaced: a training run must not be broken off for it."""

_READY_WAIT_S = 60.0
_CHECK_S = 30.0
_NUM_CHECKS = 2
"""A worker that ends while it checks is replaced once; a check that ends the next one too is given up."""

_FORECAST_S = 10.0
_REPLY_GRACE_S = 5.0
"""How long after its own limit the reply of a worker may take on the way."""

_GPUS = Path("/proc/driver/nvidia/gpus")


def worker_command() -> tuple[str, ...]:
    """The command line of the real worker."""
    return (sys.executable, "-m", "engine.worker.main")


class WorkerListener(Protocol):
    """Whoever acts on what workers say."""

    async def heard(self, worker: str, generation: int, message: Message) -> None:
        """A message of the worker's process number `generation`; may wait to slow the worker down."""

    async def lost(self, worker: str, generation: int, evidence: dict[str, Any]) -> None:
        """That process has ended; nothing more comes from it."""


@dataclass(slots=True)
class _Slot:
    """One worker's place: its current process and what is known about it."""

    name: str
    device: str | None
    process: WorkerProcess | None = None
    generation: int = 0
    state: str = "stopped"
    ready: WorkerReady | None = None
    pong: Pong | None = None
    num_failed_starts: int = 0
    num_restarts: int = 0
    first_bytes: int = 0
    last_end: dict[str, Any] | None = None
    answers: dict[int, asyncio.Future[Message | None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker as shown to people.

    `state`: starting, ready, recycling (ends with its last job, as it took too much memory), failed (waits before the
    next start), stopped.
    """

    id: str
    state: str
    pid: int | None
    generation: int
    num_restarts: int
    ram_bytes: int
    device: dict[str, Any]
    versions: dict[str, str]
    jobs: tuple[str, ...]
    last_end: dict[str, Any] | None


class WorkerPool:
    """Keeps `settings.num_workers` workers alive between `start` and `stop`."""

    def __init__(self, settings: Settings, listener: WorkerListener, command: Sequence[str] | None = None) -> None:
        self._settings = settings
        self._listener = listener
        self._command = tuple(command) if command is not None else worker_command()
        self._slots = {name: _Slot(name, device) for name, device in _places(settings)}
        self._tasks: list[asyncio.Task[None]] = []
        self._is_stopping = False
        self._requests = itertools.count(1)
        self._has_news = asyncio.Event()
        self._log = logging.getLogger("engine.worker")
        self.known_catalog = ""

    async def start(self) -> None:
        """Begin to start the workers; returns at once."""
        for slot in self._slots.values():
            self._tasks.append(asyncio.create_task(self._keep_alive(slot)))
        self._tasks.append(asyncio.create_task(self._ping_all()))

    async def stop(self) -> None:
        """Ask every worker to exit, kill those that do not, return when all have ended."""
        self._is_stopping = True
        for slot in self._slots.values():
            if slot.process is not None:
                slot.process.send(Shutdown(0.0))
                slot.process.close_input()
        waits = [asyncio.create_task(slot.process.wait()) for slot in self._slots.values() if slot.process is not None]
        if waits:
            await asyncio.wait(waits, timeout=_STOP_S)
        for slot in self._slots.values():
            if slot.process is not None:
                slot.process.kill("shutdown")
        for task in self._tasks[-1:]:
            task.cancel()
        await asyncio.gather(*self._tasks, *waits, return_exceptions=True)
        self._tasks.clear()

    # ------------------------------------------------------------------ talking to workers

    @property
    def num_ready(self) -> int:
        """How many workers accept jobs."""
        return sum(slot.state == "ready" for slot in self._slots.values())

    @property
    def have_failed(self) -> bool:
        """Whether no worker is up and at least one could not start."""
        return all(slot.state == "failed" for slot in self._slots.values())

    def ready(self) -> list[tuple[str, int]]:
        """Workers that accept jobs, with the number of their process."""
        return [(slot.name, slot.generation) for slot in self._slots.values() if slot.state == "ready"]

    def send(self, worker: str, message: Message, generation: int | None = None) -> bool:
        """Send to a worker; False when it (or that process of it) is gone."""
        slot = self._slots[worker]
        if slot.process is None or (generation is not None and generation != slot.generation):
            return False
        return slot.process.send(message)

    def kill(self, worker: str, generation: int, reason: str) -> None:
        """End that process of the worker; the pool starts the next one."""
        slot = self._slots[worker]
        if slot.process is not None and slot.generation == generation:
            slot.process.kill(reason)

    async def free(self, *, unload_models: bool, drop_cache: bool) -> None:
        """Ask all workers to free memory."""
        self._tell_all(FreeMemory(unload_models=unload_models, drop_cache=drop_cache))

    def refresh_catalog(self) -> None:
        """Ask the workers to publish their node specs again."""
        self._tell_all(RefreshCatalog())

    def _tell_all(self, message: Message) -> None:
        for slot in self._slots.values():
            if slot.state == "ready" and slot.process is not None:
                slot.process.send(message)

    async def wait_ready(self, timeout_s: float) -> bool:
        """Whether a worker accepts jobs, waiting up to `timeout_s` for one; False at once when none can start."""
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        while not self.num_ready and not self.have_failed:
            left_s = deadline_s - asyncio.get_running_loop().time()
            if left_s <= 0:
                break
            self._has_news.clear()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._has_news.wait(), left_s)
        return self.num_ready > 0

    async def check_prompt(self, prompt: dict[str, Any], nodes: list[str]) -> list[dict[str, Any]] | None:
        """Run the nodes' own validators on a worker, waiting for one to be ready; None when none answers in time."""
        for _ in range(_NUM_CHECKS):
            if not await self.wait_ready(_READY_WAIT_S):
                return None
            request = next(self._requests)
            reply = await self._ask(CheckPrompt(request, prompt, nodes), request, _CHECK_S)
            if isinstance(reply, CheckReply):
                return reply.complaints
        return None

    async def forecast(self, prompt: dict[str, Any], targets: list[str]) -> ForecastReply | None:
        """What the first ready worker would do with a prompt; None when none is ready or answers in time."""
        request = next(self._requests)
        reply = await self._ask(ForecastPrompt(request, prompt, targets), request, _FORECAST_S)
        return reply if isinstance(reply, ForecastReply) else None

    async def call_pack(self, kind: str, head: dict[str, Any], body: bytes, timeout_s: float) -> PackReply | None:
        """Have the packs of a worker answer (see CallPack); None when no worker is ready, or the answer is lost."""
        request = next(self._requests)
        reply = await self._ask(CallPack(request, kind, head, body, timeout_s), request, timeout_s + _REPLY_GRACE_S)
        return reply if isinstance(reply, PackReply) else None

    async def _ask(self, message: Message, request: int, timeout_s: float) -> Message | None:
        """The reply of the first ready worker; None when there is none, it ends, or does not answer in time."""
        slot = next((slot for slot in self._slots.values() if slot.state == "ready"), None)
        if slot is None or slot.process is None:
            return None
        future: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()
        slot.answers[request] = future
        try:
            return await asyncio.wait_for(future, timeout_s) if slot.process.send(message) else None
        except asyncio.TimeoutError:
            return None
        finally:
            slot.answers.pop(request, None)

    def infos(self) -> list[WorkerInfo]:
        """The workers as shown to people, with the newest figures."""
        return [self._info(slot) for slot in self._slots.values()]

    def _info(self, slot: _Slot) -> WorkerInfo:
        device = dict(slot.ready.device) if slot.ready else {}
        if slot.ready and slot.pong and slot.pong.vram_total_bytes:
            device["vram_total"], device["vram_free"] = slot.pong.vram_total_bytes, slot.pong.vram_free_bytes
        return WorkerInfo(
            id=slot.name,
            state=slot.state,
            pid=slot.process.pid if slot.process else None,
            generation=slot.generation,
            num_restarts=slot.num_restarts,
            ram_bytes=slot.process.ram_bytes if slot.process else 0,
            device=device,
            versions=dict(slot.ready.versions) if slot.ready else {},
            jobs=tuple(slot.pong.jobs) if slot.pong else (),
            last_end=slot.last_end,
        )

    # ------------------------------------------------------------------ one worker's life

    async def _keep_alive(self, slot: _Slot) -> None:
        while not self._is_stopping:
            try:
                await self._run_once(slot)
            except OSError as error:
                slot.last_end = {"start_error": str(error)}
                slot.num_failed_starts += 1
                self._log.error("Worker %s cannot be started: %s", slot.name, error)
            slot.process = None
            if self._is_stopping:
                break
            slot.num_restarts += 1
            slot.state = "failed" if slot.num_failed_starts else "starting"
            self._has_news.set()
            await asyncio.sleep(_backoff_s(slot.num_failed_starts))
        slot.state = "stopped"

    async def _run_once(self, slot: _Slot) -> None:
        slot.state, slot.ready, slot.pong, slot.first_bytes = "starting", None, None, 0
        slot.generation += 1
        log = self._log.getChild(slot.name)
        process = await WorkerProcess.start(self._command, slot.name, self._settings.folders.data, log)
        slot.process = process
        settings = replace(self._settings, token=None, database_url=None)
        process.send(Start(slot.name, settings_to_json(settings), self.known_catalog, slot.device))
        generation = slot.generation

        async def receive(message: Message) -> None:
            self._note(slot, message)
            await self._listener.heard(slot.name, generation, message)

        evidence = await process.serve(receive)
        if slot.state == "recycling":
            evidence["replaced_for"] = "own memory beyond --max-ram"
        was_ready = slot.ready is not None
        slot.num_failed_starts = 0 if was_ready else slot.num_failed_starts + 1
        slot.state, slot.last_end = "starting", evidence
        for future in slot.answers.values():
            if not future.done():
                future.set_result(None)
        if not self._is_stopping:
            self._log.warning("Worker %s ended: %s", slot.name, evidence)
        await self._listener.lost(slot.name, generation, evidence)

    def _note(self, slot: _Slot, message: Message) -> None:
        if isinstance(message, WorkerReady):
            slot.ready, slot.state = message, "ready"
            if slot.process is not None:
                slot.process.sample_memory()
                slot.first_bytes = slot.process.own_bytes
            self._has_news.set()
        elif isinstance(message, Pong):
            slot.pong = message
        elif isinstance(message, (CheckReply, ForecastReply, PackReply)):
            future = slot.answers.get(message.request)
            if future is not None and not future.done():
                future.set_result(message)

    async def _ping_all(self) -> None:
        """Heartbeats inform only: a worker that does not answer may hold its interpreter lock for good reason."""
        for number in itertools.count(1):
            await asyncio.sleep(_PING_S)
            for slot in self._slots.values():
                if slot.process is not None:
                    slot.process.sample_memory()
                    if slot.state == "ready":
                        slot.process.send(Ping(number))
                        self._watch_memory(slot, slot.process)

    def _watch_memory(self, slot: _Slot, process: WorkerProcess) -> None:
        """Let a worker whose own memory outgrew --max-ram end with the jobs it holds; the next process starts small.

        The memory of a fresh one is no leak: where that is over the limit already, a new process would be no better.
        """
        limit = self._settings.memory.max_ram_bytes
        if limit is None:
            return
        if process.own_bytes > max(_OVER_RAM * limit, 1.5 * slot.first_bytes):
            self._log.warning(
                "Worker %s holds %d MiB of its own, more than --max-ram; it is replaced when its jobs have ended.",
                slot.name,
                process.own_bytes >> 20,
            )
            slot.state = "recycling"
            process.send(Shutdown(_RECYCLE_GRACE_S))


def _backoff_s(num_failed_starts: int) -> float:
    return min(_MAX_BACKOFF_S, 0.5 * 2**num_failed_starts) if num_failed_starts else 0.05


def _places(settings: Settings) -> list[tuple[str, str | None]]:
    """Worker names and devices: the device asked for, or one accelerator each where there are several."""
    device = settings.memory.device
    num_gpus = len(list(_GPUS.iterdir())) if settings.num_workers > 1 and _GPUS.is_dir() else 0
    places = []
    for index in range(max(1, settings.num_workers)):
        spread = device is None and settings.memory.plan != "cpu" and index < num_gpus
        places.append((f"worker-{index}", f"cuda:{index}" if spread else device))
    return places
