"""How far a run is: steps, loss, throughput, remaining time, as one line of text."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Meter", "Reading"]


@dataclass(frozen=True, slots=True)
class Reading:
    """Where a run is. examples_per_s: over the last interval. remaining_s: at the run's mean speed so far."""

    step: int
    max_steps: int
    loss: float
    rate: float
    examples_per_s: float
    remaining_s: float

    @property
    def line(self) -> str:
        """One line for people."""
        return (
            f"step {self.step}/{self.max_steps}  loss {self.loss:.4f}  {self.examples_per_s:.1f} examples/s  "
            f"{_duration(self.remaining_s)} left"
        )

    @property
    def metrics(self) -> dict[str, float]:
        """The numbers for logs."""
        return {"loss": self.loss, "learning_rate": self.rate, "examples_per_s": round(self.examples_per_s, 3)}


class Meter:
    """Measures the speed of a run. The first step, which also warms up, does not count."""

    def __init__(
        self, start_step: int, max_steps: int, num_step_examples: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_steps = max_steps
        self._num_step_examples = num_step_examples
        self._clock = clock
        self._start = (start_step, clock())
        self._last = self._start
        self._is_warm = False

    def warm(self, step: int) -> None:
        """The first step is done."""
        if not self._is_warm:
            self._is_warm = True
            self._start = self._last = (step, self._clock())

    def read(self, step: int, loss: float, rate: float) -> Reading:
        """A reading after this many steps."""
        now = (step, self._clock())
        speed = _speed(self._last, now)
        mean = _speed(self._start, now) or speed
        self._last = now
        remaining = (self._max_steps - step) / mean if mean else 0.0
        return Reading(step, self._max_steps, loss, rate, speed * self._num_step_examples, remaining)


def _speed(start: tuple[int, float], end: tuple[int, float]) -> float:
    """Steps a second between two moments."""
    return (end[0] - start[0]) / (end[1] - start[1]) if end[1] > start[1] else 0.0


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
