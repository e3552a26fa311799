"""Values on their way to the disk tier of the cache: written on the io lane, and waited for before the process ends."""

from __future__ import annotations

import threading
from collections.abc import Callable

from engine.core.ids import Address
from engine.execution.instructions import StoreArtifact
from engine.worker.artifact_store import ArtifactStore

__all__ = ["CacheWriter"]


class CacheWriter:
    """Any thread may call any method.

    Args:
        store: where the values go.
        submit: runs a task soon, on a thread that may wait for the disk.
    """

    def __init__(self, store: ArtifactStore, submit: Callable[[Callable[[], None]], None]) -> None:
        self._store = store
        self._submit = submit
        self._num_pending = 0
        self._has_written = threading.Condition()

    def write(self, order: StoreArtifact, tell: Callable[[Address, int], None]) -> None:
        """Begin to write a value; `tell` is called with its address and bytes on disk once it is there.

        A value that cannot be serialised, or that the disk refuses, is not told of.
        """

        def save() -> None:
            try:
                size_bytes = self._store.save(order.address, order.outputs, order.ui, order.cost_s)
            finally:
                with self._has_written:
                    self._num_pending -= 1
                    self._has_written.notify_all()
            if size_bytes is not None:
                tell(order.address, size_bytes)

        with self._has_written:
            self._num_pending += 1
        self._submit(save)

    def finish(self, timeout_s: float) -> bool:
        """Wait until everything begun is written; False when `timeout_s` was not enough."""
        with self._has_written:
            return self._has_written.wait_for(lambda: not self._num_pending, timeout_s)
