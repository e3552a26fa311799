"""What the server remembers, as immutable records: jobs, events, assets, and the requests that make them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.core.ids import AssetId, ClientId, JobId, NodeId

__all__ = [
    "ACTIVE_STATES",
    "CANCELLED",
    "FAILED",
    "LEASED",
    "QUARANTINED",
    "QUEUED",
    "RUNNING",
    "STATES",
    "SUCCEEDED",
    "TERMINAL_STATES",
    "AssetRecord",
    "EventRecord",
    "JobPage",
    "JobQuery",
    "JobRecord",
    "JobRequest",
    "QueueCounts",
    "Submission",
]

QUEUED = "queued"
LEASED = "leased"
RUNNING = "running"
SUCCEEDED = "succeeded"
FAILED = "failed"
CANCELLED = "cancelled"
QUARANTINED = "quarantined"

STATES = (QUEUED, LEASED, RUNNING, SUCCEEDED, FAILED, CANCELLED, QUARANTINED)
ACTIVE_STATES = frozenset({LEASED, RUNNING})
TERMINAL_STATES = frozenset({SUCCEEDED, FAILED, CANCELLED, QUARANTINED})


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One job row. Times are seconds since 1970 UTC.

    `prompt` is the API JSON as it will run (constants coerced); `extra` what the client sent beside it
    (extra_pnginfo …). Both are {} when the record was read without documents. `sequence` is the order of arrival,
    `number` the order of running (low first, after `priority`, high first). `outputs` maps node → UI output;
    `nodes` maps node → {node, display, parent, real} for nodes with output. `crashes` holds one record of evidence
    per worker lost while it ran this job. `reasons` says per node that ran why it was not cached.
    """

    id: JobId
    sequence: int
    number: float
    priority: int
    state: str
    client_id: ClientId | None
    targets: tuple[NodeId, ...]
    alone: bool
    epoch: int
    attempts: int
    server_losses: int
    cancel_requested: bool
    worker: str | None
    created_s: float
    started_s: float | None
    finished_s: float | None
    prompt: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    nodes: Mapping[str, Any] = field(default_factory=dict)
    ran: tuple[str, ...] = ()
    cached: tuple[str, ...] = ()
    reasons: Mapping[str, Any] = field(default_factory=dict)
    stats: Mapping[str, Any] = field(default_factory=dict)
    crashes: tuple[Mapping[str, Any], ...] = ()

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended for good (until somebody requeues it)."""
        return self.state in TERMINAL_STATES


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An entry of a job's log. `seq` counts from 1 per job without gaps; 0 marks an event that is not stored.

    `kind`: job_queued, job_leased, job_started, job_requeued, job_succeeded, job_failed, job_cancelled,
    job_quarantined, outputs_placed {node, files}, and the worker's reports (execution.instructions.Report and
    protocol.messages.JobReport). Not stored (seq 0): node_progress, node_preview (there is a new
    picture), pack_event {event, data}, and queue_changed {pending, running, paused}, whose job is "".
    """

    job: JobId
    seq: int
    kind: str
    data: Mapping[str, Any]
    time_s: float
    client_id: ClientId | None = None


@dataclass(frozen=True, slots=True)
class AssetRecord:
    """A visible file made by a job. `folder` is output or temp; `subfolder` has forward slashes, "" for the root."""

    id: AssetId
    job: JobId
    node: NodeId
    ordinal: int
    digest: str
    folder: str
    subfolder: str
    filename: str
    media_type: str
    size_bytes: int
    width_px: int
    height_px: int
    is_placed: bool
    created_s: float


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a client asks for.

    `document` is a prompt (API JSON) or a workflow (editor JSON), told apart by its shape. `targets` None means every
    output node. `number` None takes the server's counter (negated when `front`: first of its priority). `job_id` and
    `idempotency_key` both make the submit repeatable: the same key with the same body gives the same job, another body
    a ConflictError.
    """

    document: Mapping[str, Any]
    targets: tuple[NodeId, ...] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    client_id: ClientId | None = None
    job_id: JobId | None = None
    idempotency_key: str | None = None
    number: float | None = None
    front: bool = False
    priority: int = 0
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Submission:
    """The answer to an accepted submit. `complaints` concern outputs that will not run, `dependent_outputs` says per
    faulty node which; `created` is False for a repeat."""

    job: JobRecord
    created: bool
    complaints: tuple[Any, ...] = ()
    dependent_outputs: Mapping[NodeId, tuple[NodeId, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which jobs to list. `states` () means all; `newest_first` by arrival, else oldest first; queued-only listings
    come in running order when `in_queue_order`. `with_documents` also reads prompt and extra."""

    states: tuple[str, ...] = ()
    client_id: ClientId | None = None
    limit: int | None = 100
    offset: int = 0
    newest_first: bool = True
    in_queue_order: bool = False
    with_documents: bool = False


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page of a listing and how many jobs match in total."""

    jobs: tuple[JobRecord, ...]
    total: int


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """How many jobs wait and run now."""

    pending: int
    running: int
    is_paused: bool

    @property
    def remaining(self) -> int:
        """Pending plus running: ComfyUI's queue_remaining."""
        return self.pending + self.running
