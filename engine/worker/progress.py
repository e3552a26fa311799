"""Progress of a node, thinned out: a fast sampler reports hundreds of steps a second, a client draws ten."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Gate", "ProgressMeter"]


class ProgressMeter:
    """Passes on at most one report per `interval_s`, always the first and, on `flush`, the last. Any thread.

    `send(value, maximum)` is called while the meter's lock is held, so reports never overtake each other.
    """

    def __init__(
        self,
        send: Callable[[float, float], None],
        interval_s: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send = send
        self._interval_s = interval_s
        self._clock = clock
        self._lock = threading.Lock()
        self._next_s = float("-inf")
        self._waiting: tuple[float, float] | None = None

    def report(self, value: float, maximum: float) -> None:
        """Note a progress; it is sent now or with the next flush."""
        with self._lock:
            now = self._clock()
            if now < self._next_s:
                self._waiting = (value, maximum)
                return
            self._next_s = now + self._interval_s
            self._waiting = None
            self._send(value, maximum)

    def flush(self) -> None:
        """Send what waits."""
        with self._lock:
            if self._waiting is not None:
                self._send(*self._waiting)
                self._waiting = None


class Gate:
    """Opens at most once per `interval_s`. Any thread may knock."""

    def __init__(self, interval_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._lock = threading.Lock()
        self._next_s = float("-inf")

    def opens(self) -> bool:
        """Whether enough time has passed since it last opened."""
        with self._lock:
            now = self._clock()
            if now < self._next_s:
                return False
            self._next_s = now + self._interval_s
            return True
