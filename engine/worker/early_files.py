"""Files that get their visible names while the node that wrote them still runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from engine.core.errors import NodeError
from engine.core.ids import JobId, NodeId
from engine.protocol.messages import OutputsPlaced, OutputsStaged, PlacedFile, StagedFile
from engine.worker.job import RunningJob

__all__ = ["EarlyFiles"]

_POLL_S = 0.1


@dataclass(slots=True)
class _Waiter:
    has_answer: threading.Event = field(default_factory=threading.Event)
    files: list[PlacedFile] = field(default_factory=list)


class EarlyFiles:
    """Asks the server to place files in the middle of a call, and waits. A node has one such request at a time."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[JobId, NodeId], _Waiter] = {}

    def place(
        self, job: RunningJob, node: NodeId, files: Sequence[StagedFile], check: Callable[[], None]
    ) -> list[PlacedFile]:
        """The visible names of `files`, on the thread of the call. `check` raises when the node is to stop."""
        waiter = self._waiting[job.id, node] = _Waiter()
        lease = job.lease
        job.send(OutputsStaged(lease.job, lease.epoch, node, list(files)))
        try:
            while not waiter.has_answer.wait(_POLL_S):
                check()
        finally:
            self._waiting.pop((job.id, node), None)
        if len(waiter.files) != len(files):
            raise NodeError(f"The server placed {len(waiter.files)} of {len(files)} files.", code="bad_frame")
        return waiter.files

    def take(self, message: OutputsPlaced) -> bool:
        """Whether the answer is for a call that waits; hands it over."""
        waiter = self._waiting.pop((JobId(message.job), NodeId(message.node)), None)
        if waiter is None:
            return False
        waiter.files = message.files
        waiter.has_answer.set()
        return True
