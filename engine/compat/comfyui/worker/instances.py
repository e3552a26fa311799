"""The life of node objects: one per (node id, class), kept over jobs, never used by two calls at once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["InstancePool"]

DEFAULT_MAX_INSTANCES = 1024


class InstancePool:
    """Keeps node objects so that attributes a node sets on itself are there at its next run.

    Objects are kept per (node id, class) and the least recently used go when there are more than `max_instances`. A
    call that finds its object busy (the same node id in another running job) gets a fresh one of its own.
    """

    def __init__(self, max_instances: int = DEFAULT_MAX_INSTANCES) -> None:
        self._max_instances = max_instances
        self._idle: OrderedDict[tuple[str, type], Any] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._idle)

    @contextmanager
    def borrow(self, node_id: str | None, cls: type) -> Iterator[Any]:
        """The object of `node_id` for one call; a throw-away object when the id is unknown (None)."""
        if node_id is None:
            yield cls()
            return
        key = (node_id, cls)
        with self._lock:
            instance = self._idle.pop(key, None)
        if instance is None:
            instance = cls()
        try:
            yield instance
        finally:
            with self._lock:
                self._idle[key] = instance
                self._idle.move_to_end(key)
                while len(self._idle) > self._max_instances:
                    self._idle.popitem(last=False)
