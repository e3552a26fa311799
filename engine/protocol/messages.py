"""Messages between the server and a worker, as dataclasses of JSON values and byte strings.

A worker is a child process that reads frames from its standard input and writes frames to its original standard
output (what nodes print goes to standard error). End of input means the server is gone: the worker exits at once.
`bytes` fields travel as blobs beside the JSON header (see codec.py). Unknown message kinds and missing fields are
ProtocolErrors; nothing on the wire can run code.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "CallPack",
    "CancelJob",
    "CatalogPublished",
    "CheckPrompt",
    "CheckReply",
    "ForecastPrompt",
    "ForecastReply",
    "FreeMemory",
    "JobDone",
    "JobReport",
    "JobReports",
    "Lease",
    "Message",
    "OutputsPlaced",
    "OutputsStaged",
    "PackEvent",
    "PackReply",
    "PackReport",
    "PackRoute",
    "Ping",
    "PlacedFile",
    "Pong",
    "Preview",
    "RefreshCatalog",
    "ReportEntry",
    "Shutdown",
    "StagedFile",
    "Start",
    "WorkerReady",
]


class Message:
    """Base of all messages. Dataclasses of this module that do not inherit from it are parts of messages."""

    __slots__ = ()


# ------------------------------------------------------------------ server → worker


@dataclass(frozen=True, slots=True)
class Start(Message):
    """First frame: the settings (see core.settings.settings_to_json) and who the worker is.

    `known_catalog` is the digest of the catalog the server has on disk for these packs; `device` as in
    MemorySettings.device or None for the default.
    """

    worker: str
    settings: dict[str, Any]
    known_catalog: str = ""
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Lease(Message):
    """Run this job. `epoch` fences: every report carries it, and reports of an older epoch are refused.

    `prompt` is API JSON; `targets` the output nodes to run; `extra` holds extra_pnginfo and the like;
    `client_id` addresses previews; `alone`: do not share forwards with other jobs; `priority`: whose step comes first.
    """

    job: str
    epoch: int
    attempt: int
    prompt: dict[str, Any]
    targets: list[str]
    extra: dict[str, Any] = field(default_factory=dict)
    client_id: str | None = None
    alone: bool = False
    preview_method: str = "none"
    priority: int = 0


@dataclass(frozen=True, slots=True)
class CancelJob(Message):
    """Stop this job, cooperatively; the server kills the process when that takes too long."""

    job: str


@dataclass(frozen=True, slots=True)
class CheckPrompt(Message):
    """Run the validators that only exist as code (`spec.validates`) for these nodes; answered by CheckReply."""

    request: int
    prompt: dict[str, Any]
    nodes: list[str]


@dataclass(frozen=True, slots=True)
class ForecastPrompt(Message):
    """Say what this prompt would do now, and start nothing; answered by ForecastReply."""

    request: int
    prompt: dict[str, Any]
    targets: list[str]


@dataclass(frozen=True, slots=True)
class CallPack(Message):
    """Something the code of packs is to answer, also while nodes run; answered by PackReply after `timeout_s` at most.

    `kind` is "request", an HTTP request for a route of a pack: `head` is {method, target (raw path and query), headers
    ([[name, value]]), remote}; or "submission", the JSON somebody submits and packs may change: `head` is {}.
    """

    request: int
    kind: str
    head: dict[str, Any]
    body: bytes
    timeout_s: float


@dataclass(frozen=True, slots=True)
class OutputsPlaced(Message):
    """The answer to OutputsStaged: the visible names, in the order staged."""

    job: str
    node: str
    files: list[PlacedFile]


@dataclass(frozen=True, slots=True)
class FreeMemory(Message):
    """Unload weights and/or drop cached values once the running jobs are done."""

    unload_models: bool = False
    drop_cache: bool = False


@dataclass(frozen=True, slots=True)
class RefreshCatalog(Message):
    """Publish the catalog again (node types of old packs list files when they are described)."""


@dataclass(frozen=True, slots=True)
class Ping(Message):
    """Answered with Pong by the worker's reader thread, also while nodes run."""

    number: int


@dataclass(frozen=True, slots=True)
class Shutdown(Message):
    """Finish or abandon what runs within `grace_s`, then exit 0."""

    grace_s: float = 0.0


# ------------------------------------------------------------------ worker → server


@dataclass(frozen=True, slots=True)
class PackRoute:
    """An HTTP route a pack answers: `method` in capitals or "*", `path` with `{name}` or `{name:pattern}` for parts."""

    method: str
    path: str


@dataclass(frozen=True, slots=True)
class PackReport:
    """How a pack loaded. `error` is "" or the traceback; `web_directory` an absolute path or "".

    `warnings` are sentences about what went wrong without stopping it (a node name taken already, a prestartup
    script that failed). `routes` are answered by CallPack; `changes_submissions`: so are documents before they are
    queued.
    """

    name: str
    path: str
    node_types: list[str]
    seconds: float
    error: str = ""
    web_directory: str = ""
    warnings: list[str] = field(default_factory=list)
    routes: list[PackRoute] = field(default_factory=list)
    changes_submissions: bool = False


@dataclass(frozen=True, slots=True)
class CatalogPublished(Message):
    """All node specs (JSON of graph.schema.spec_to_json), or none when `digest` equals Start.known_catalog.

    `digest` is opaque. A worker that finds its packs unchanged first publishes the known digest with neither specs nor
    packs, before it imports anything; when the packs are loaded it publishes again, with the reports, and with the
    specs if they differ from what the digest stands for.
    """

    digest: str
    specs: list[dict[str, Any]]
    packs: list[PackReport]


@dataclass(frozen=True, slots=True)
class WorkerReady(Message):
    """The worker accepts leases. `device`: {name, type, index, vram_total, vram_free, torch_vram_total,
    torch_vram_free} in bytes; `versions`: {torch, python, …}."""

    device: dict[str, Any]
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class JobReport(Message):
    """An entry for the job's event log; `kind` and `data` as in execution.instructions.Report, plus
    `node_progress` {node, display, parent, real, value, max}, `node_text` {node, text}, `warning` {node?, message}."""

    job: str
    epoch: int
    kind: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ReportEntry:
    """One entry of a JobReports message; `kind` and `data` as in JobReport."""

    kind: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class JobReports(Message):
    """Several entries for one job's event log, in order: what many JobReport messages would say in one frame."""

    job: str
    epoch: int
    entries: list[ReportEntry]


@dataclass(frozen=True, slots=True)
class Preview(Message):
    """A picture of work in progress; sent on to listeners, never stored. `media_type` is image/jpeg or image/png."""

    job: str
    epoch: int
    node: str
    display: str
    parent: str | None
    real: str
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A finished file in the staging folder, waiting for its visible name.

    `staged` is its file name in `<data>/staging`, `<sha-256 of the bytes>.<unique>.<extension>`, so equal files of two
    jobs do not share one; `folder` is "output" or "temp"; `prefix` may hold folders, and its tokens such as `%width%`
    are already replaced. `numbered`: the name is `<prefix>_<counter>_.<extension>`, else `<prefix>.<extension>`,
    overwriting.
    `ui_key` is the key of the UI output ("images", "latents" …); `extra` further members of the UI entry.
    `ordinal` counts the files of this node in this job.
    """

    staged: str
    size_bytes: int
    media_type: str
    folder: str
    prefix: str
    extension: str
    ordinal: int
    numbered: bool = True
    ui_key: str = "images"
    extra: dict[str, Any] = field(default_factory=dict)
    width_px: int = 0
    height_px: int = 0


@dataclass(frozen=True, slots=True)
class PlacedFile:
    """A visible file: `type` is output or temp."""

    filename: str
    subfolder: str
    type: str
    asset: str = ""


@dataclass(frozen=True, slots=True)
class OutputsStaged(Message):
    """A node wrote files; answered by OutputsPlaced once names and event are committed."""

    job: str
    epoch: int
    node: str
    files: list[StagedFile]


@dataclass(frozen=True, slots=True)
class JobDone(Message):
    """The job ended. `outcome`: succeeded, failed, cancelled. `error` as AtelierError.to_json plus, for node errors,
    {node_type, exception_type, exception_message, traceback: [str], current_inputs, executed: [ids]}."""

    job: str
    epoch: int
    outcome: str
    error: dict[str, Any] | None = None
    ran: list[str] = field(default_factory=list)
    cached: list[str] = field(default_factory=list)
    reasons: dict[str, Any] = field(default_factory=dict)
    stats: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckReply(Message):
    """Complaints of code validators: [{node, code, message, details, input?, extra?}] with the ComfyUI error types
    custom_validation_failed and exception_during_validation."""

    request: int
    complaints: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class ForecastReply(Message):
    """`cached`: nodes whose values are there. `runs`: [{node, reason, seconds}] of nodes that would run, sources first;
    `reason` as JobDone.reasons has it, `seconds` None for what never ran here."""

    request: int
    cached: list[str]
    runs: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class PackReply(Message):
    """The answer to CallPack.

    To a request: `head` is {status, headers ([[name, value]])}. To a submission: {problems: sentences about packs that
    failed}, and `body` the changed JSON, empty when nothing changed.
    """

    request: int
    head: dict[str, Any]
    body: bytes


@dataclass(frozen=True, slots=True)
class Pong(Message):
    """Answer to Ping: resident and device memory in bytes, and the jobs it holds."""

    number: int
    ram_bytes: int
    vram_total_bytes: int
    vram_free_bytes: int
    jobs: list[str]


@dataclass(frozen=True, slots=True)
class PackEvent(Message):
    """A message a custom node pack sends to browsers; passed on to listeners, never stored.

    `data` is {"data": what the pack sent}. `job` is None outside a job; `client` None addresses everybody.
    """

    event: str
    data: dict[str, Any]
    job: str | None = None
    client: str | None = None
