"""What a process of the data loader does besides reading items: start quietly, and send typed errors home whole."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from engine.core.errors import AtelierError
from engine.training.data.place import Place

__all__ = ["GuardedItems", "raise_first", "start_quietly"]


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
