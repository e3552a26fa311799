"""A leased job while it runs here."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from engine.core.errors import Cancelled
from engine.core.ids import JobId, NodeId
from engine.graph.graph import Graph
from engine.protocol.messages import JobReport, JobReports, Lease, Message, ReportEntry
from engine.worker.live_graph import LiveGraph

__all__ = ["RunningJob"]

_MIN_HELD_BYTES = 64 << 10


@dataclass(slots=True)
class RunningJob:
    """Everything a running job's nodes share.

    `lease` is replaced when the server leases the same job again (a newer epoch); `cancelled` is set once and never
    cleared; `is_started` says whether the executor knows it; `memory_position` is where its memory story begins;
    `node_seconds` is written by the loop thread only, the counts of forwards by the device thread. `held_bytes` is what
    nodes held at their peak: the device thread writes while a node runs, the loop thread when it has ended.
    """

    lease: Lease
    graph: Graph
    send: Callable[[Message], None]
    started_s: float
    live_graph: LiveGraph
    cancelled: threading.Event = field(default_factory=threading.Event)
    node_seconds: dict[NodeId, float] = field(default_factory=dict)
    held_bytes: dict[NodeId, int] = field(default_factory=dict)
    is_started: bool = False
    memory_position: int = 0
    num_forwards: int = 0
    num_shared_forwards: int = 0

    @property
    def id(self) -> JobId:
        """The job's id."""
        return JobId(self.lease.job)

    def note_held(self, node: NodeId, num_bytes: int) -> None:
        """A node held this much; what is too little to matter is not noted."""
        if num_bytes >= _MIN_HELD_BYTES:
            self.held_bytes[node] = max(num_bytes, self.held_bytes.get(node, 0))

    def check_cancelled(self, node: NodeId | None = None) -> None:
        """Raise Cancelled when the job is to stop."""
        if self.cancelled.is_set():
            raise Cancelled("The job was cancelled.", node=node)

    def report(self, kind: str, data: dict[str, Any]) -> None:
        """Send an entry of the job's event log. Any thread."""
        self.send(JobReport(self.lease.job, self.lease.epoch, kind, data))

    def report_together(self, entries: list[ReportEntry]) -> None:
        """Send entries of the job's event log in one frame."""
        if len(entries) == 1:
            self.report(entries[0].kind, entries[0].data)
        elif entries:
            self.send(JobReports(self.lease.job, self.lease.epoch, entries))
