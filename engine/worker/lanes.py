"""Threads that carry out the executor's instructions: the device, the processors, files, and coroutines.

Every lane runs its work inside torch's inference mode. Threads are daemons: a node that never returns must not keep
the process alive.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, Protocol

import torch

__all__ = ["AsyncLane", "DeviceLane", "Lanes", "Merger", "Task", "ThreadLane", "open_lanes"]

Task = Callable[[], None]
_EXIT_BROKEN = 70
_MAX_DEVICE_NODES = 32
"""Nodes that may be on the device at a time: their flows share forwards, so one is not enough."""


class Merger(Protocol):
    """What the device lane needs of the batcher: `step` does some work and says whether any was there."""

    def step(self) -> bool:
        """Do some work; whether more is left."""
        ...


class ThreadLane:
    """Tasks in the order submitted, on `num_threads` threads. A task reports its own failures."""

    def __init__(self, name: str, num_threads: int) -> None:
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        for number in range(num_threads):
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True).start()

    def submit(self, task: Task) -> None:
        """Run `task` soon."""
        self._tasks.put(task)

    def _work(self) -> None:
        with torch.inference_mode():
            while True:
                _run_or_die(self._tasks.get())


class DeviceLane:
    """One thread that alternates between device tasks and steps of the batcher, so neither waits for the other."""

    def __init__(self, batcher: Merger) -> None:
        self._batcher = batcher
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="device", daemon=True).start()

    def submit(self, task: Task) -> None:
        """Run `task` on the device thread soon."""
        self._tasks.put(task)

    def _work(self) -> None:
        has_flows = False
        with torch.inference_mode():
            while True:
                task = self._take(wait=not has_flows)
                if task is not None:
                    _run_or_die(task)
                has_flows = self._step()

    def _take(self, *, wait: bool) -> Task | None:
        try:
            return self._tasks.get(block=wait)
        except queue.Empty:
            return None

    def _step(self) -> bool:
        found = [False]

        def step() -> None:
            found[0] = self._batcher.step()

        _run_or_die(step)
        return found[0]


class AsyncLane:
    """An event loop on a thread of its own, for coroutine nodes."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._work, name="async", daemon=True).start()

    def submit(self, coroutine: Awaitable[Any]) -> Future[Any]:
        """Start a coroutine; cancelling the future cancels it."""

        async def run() -> Any:
            return await coroutine

        return asyncio.run_coroutine_threadsafe(run(), self._loop)

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        with torch.inference_mode():
            self._loop.run_forever()


class Lanes:
    """All lanes of a worker, by the names node specs use: device, cpu, io. `pictures` encodes in order of submission.

    `limits` says per lane how many nodes the executor may have there at a time.
    """

    def __init__(self, batcher: Merger, num_cpu_threads: int, num_io_threads: int) -> None:
        self.device = DeviceLane(batcher)
        self.cpu = ThreadLane("cpu", num_cpu_threads)
        self.io = ThreadLane("io", num_io_threads)
        self.pictures = ThreadLane("pictures", 1)
        self.validators = ThreadLane("validators", 1)
        self.coroutines = AsyncLane()
        self.limits = {"device": _MAX_DEVICE_NODES, "cpu": num_cpu_threads, "io": num_io_threads}

    def named(self, lane: str) -> ThreadLane | DeviceLane:
        """The lane a node spec asks for; unknown names mean cpu."""
        return self.device if lane == "device" else self.io if lane == "io" else self.cpu


def open_lanes(batcher: Merger) -> Lanes:
    """Lanes sized for this machine."""
    return Lanes(batcher, num_cpu_threads=max(2, min(4, os.cpu_count() or 2)), num_io_threads=4)


def _run_or_die(task: Task) -> None:
    """Run a task. One that fails has lost an answer somebody waits for: the process ends, its jobs are tried again."""
    try:
        task()
    except BaseException:  # noqa: BLE001 - printed, and then the process ends
        sys.stderr.write(f"The worker is broken and ends:\n{traceback.format_exc()}")
        sys.stderr.flush()
        os._exit(_EXIT_BROKEN)
