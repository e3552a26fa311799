"""Freed memory of the host that the C library keeps: given back to the system between jobs.

glibc returns only what lies at the end of a heap, and each thread that allocates has a heap of its own. Pictures of
changing sizes leave holes in all of them, so a process that makes many looks as if it grew.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable

__all__ = ["HeapTrimming", "trim_heap"]

_EVERY_S = 20.0


def trim_heap() -> bool:
    """Give the pages of freed memory back to the system; False where the C library cannot. Any thread."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return False  # only glibc has it; Windows has no library without a name
    trim(0)
    return True


class HeapTrimming:
    """Trims the heap at most every 20 seconds: what comes back from the system has to be cleared page by page.

    Args:
        trim, clock: what is done, and seconds that only grow.
    """

    def __init__(self, trim: Callable[[], object] = trim_heap, clock: Callable[[], float] = time.monotonic) -> None:
        self._trim = trim
        self._clock = clock
        self._next_s = 0.0

    def after_job(self) -> None:
        """A job has ended, and much of what it held is free."""
        if self._clock() >= self._next_s:
            self._next_s = self._clock() + _EVERY_S
            self._trim()
