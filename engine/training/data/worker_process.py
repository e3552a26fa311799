"""What a process of the data loader does besides reading items: start quietly, and send typed errors home whole."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from engine.core.errors import AtelierError
from engine.training.data.place import Place

__all__ = ["GuardedItems", "raise_first", "start_quietly", "usable_workers"]


@dataclass(frozen=True, slots=True)
class GuardedItems:
    """The items of a source, or, in place of one, the error it raised.

    An exception that leaves a process of torch's loader comes back as a traceback in a new exception's message.
    """

    source: Any

    def __getitem__(self, place: Place) -> Any:
        try:
            return self.source[place]
        except AtelierError as error:
            return error


def raise_first(items: Sequence[Any]) -> None:
    """Raise the first error among items, if there is one."""
    for item in items:
        if isinstance(item, AtelierError):
            raise item


def start_quietly(worker: int) -> None:
    """One thread, and no traceback when the user interrupts the run: the main process ends its workers."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def usable_workers(num_workers: int, num_lanes: int | None = None) -> int:
    """At most `num_workers` processes: not more than this process has cores, and dividing the lanes there are."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    most = min(num_workers, cores)
    return most if num_lanes is None else max((n for n in range(1, most + 1) if num_lanes % n == 0), default=0)
