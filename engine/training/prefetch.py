"""Batches made ahead of their step by a thread, so that the device does not wait for the host."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator

from engine.training.data.collate import Batch

__all__ = ["Prefetched"]

_POLL_S = 0.2


class Prefetched:
    """The batches of `source`, prepared, at most `depth` ahead. The order is the source's.

    The first batch is made by the caller's thread: worker processes must not be forked beside a running thread.
    """

    def __init__(self, source: Iterable[Batch], prepare: Callable[[Batch], Batch], depth: int = 3) -> None:
        self._source = source
        self._prepare = prepare
        self._depth = depth

    def __iter__(self) -> Iterator[Batch]:
        batches = iter(self._source)
        first = next(batches, None)
        if first is None:
            return
        ready: queue.Queue[Batch | BaseException | None] = queue.Queue(self._depth)
        stopped = threading.Event()
        thread = threading.Thread(target=self._fill, args=(batches, ready, stopped), daemon=True, name="batches")
        thread.start()
        try:
            yield self._prepare(first)
            while (item := ready.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stopped.set()
            thread.join()

    def _fill(
        self, batches: Iterator[Batch], ready: queue.Queue[Batch | BaseException | None], stopped: threading.Event
    ) -> None:
        """The thread: what goes wrong in it is raised where the batch would have been taken."""
        item: Batch | BaseException | None
        while not stopped.is_set():
            try:
                batch = next(batches, None)
                item = None if batch is None else self._prepare(batch)
            except BaseException as error:  # noqa: BLE001 - passed on to the thread that waits
                item = error
            while not stopped.is_set():
                try:
                    ready.put(item, timeout=_POLL_S)
                    break
                except queue.Full:
                    continue
            if item is None or isinstance(item, BaseException):
                return
