"""A thread for what nobody waits for: bringing weights on their way, compiling a network that runs meanwhile."""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

__all__ = ["BackgroundThread"]

T = TypeVar("T")
_Task = tuple["Future[object]", Callable[[], object]]


class BackgroundThread:
    """Runs tasks one after the other, in the order they were submitted. Thread-safe.

    The thread begins with the first task and ends when nobody holds this object any longer. It is a daemon: a disk that
    hangs must not keep the process.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._is_started = False
        self._lock = threading.Lock()

    def submit(self, task: Callable[[], T]) -> Future[T]:
        """Run `task` soon; the future carries what it returns or raises."""
        future: Future[T] = Future()
        with self._lock:
            if not self._is_started:
                threading.Thread(target=_work, args=(self._tasks,), name=self._name, daemon=True).start()
                weakref.finalize(self, self._tasks.put, None)
                self._is_started = True
        self._tasks.put((future, task))  # type: ignore[arg-type]
        return future


def _work(tasks: queue.SimpleQueue[_Task | None]) -> None:
    """Never holds a finished task: it may be the last to know the object whose end ends this thread."""
    while True:
        item = tasks.get()
        if item is None:
            return
        future, task = item
        try:
            future.set_result(task())
        except BaseException as error:  # noqa: BLE001 - carried to whoever waits for the result
            future.set_exception(error)
        del item, future, task
