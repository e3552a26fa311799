"""The one error tree. Every error carries a stable code, a sentence, a remedy and the place it happened.

Codes are part of the public API (documented in docs/http-api.md); sentences and hints are for people and may change.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AtelierError",
    "Cancelled",
    "CheckpointError",
    "ConflictError",
    "ContainmentError",
    "GraphError",
    "NodeError",
    "NotFoundError",
    "OutOfMemory",
    "ProtocolError",
    "SettingsError",
    "UploadRefused",
    "WorkerLost",
]


class AtelierError(Exception):
    """Base of all errors a user may see.

    Args:
        message: one sentence that says what is wrong, naming the offending value.
        code: stable snake_case identifier; defaults to the class's own.
        hint: what to do about it, or "".
        node: id of the node concerned, or None.
        input: name of the input concerned, or None.
        details: further JSON-serialisable facts.
    """

    code = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str = "",
        node: str | None = None,
        input: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        self.hint = hint
        self.node = node
        self.input = input
        self.details = details or {}

    def to_json(self) -> dict[str, Any]:
        """The error as the HTTP API and the event log show it."""
        record: dict[str, Any] = {"code": self.code, "message": self.message}
        for key in ("hint", "node", "input", "details"):
            value = getattr(self, key)
            if value:
                record[key] = value
        return record


class SettingsError(AtelierError):
    """A flag, file or folder of the configuration is wrong."""

    code = "bad_settings"


class GraphError(AtelierError):
    """A workflow or prompt file cannot be read or compiled."""

    code = "bad_graph"


class NodeError(AtelierError):
    """A node refused its inputs or failed while it ran."""

    code = "node_failed"


class CheckpointError(AtelierError):
    """A weight file is damaged, hostile, or of an unknown layout."""

    code = "bad_checkpoint"


class OutOfMemory(AtelierError):
    """Nothing that fits the memory budget is left to try."""

    code = "out_of_memory"


class Cancelled(AtelierError):
    """The job was cancelled; raised inside a node by its context."""

    code = "cancelled"


class ContainmentError(AtelierError):
    """A path leads outside its root, or is none (NUL, device file, stream)."""

    code = "path_outside_root"


class UploadRefused(AtelierError):
    """An uploaded file is too large, malformed, or of a type that is not accepted."""

    code = "upload_refused"


class NotFoundError(AtelierError):
    """The named thing does not exist."""

    code = "not_found"


class ConflictError(AtelierError):
    """The request contradicts what is stored."""

    code = "conflict"


class ProtocolError(AtelierError):
    """A frame between server and worker breaks the protocol."""

    code = "bad_frame"


class WorkerLost(AtelierError):
    """The worker process ended while it held the job."""

    code = "worker_lost"
