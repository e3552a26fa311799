"""Errors only the server raises."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence

from engine.core.errors import AtelierError, GraphError
from engine.core.ids import NodeId
from engine.graph.complaint import Complaint

__all__ = [
    "DownloadRefused",
    "GraphRefused",
    "MediaTooLarge",
    "NotReady",
    "PreconditionFailed",
    "StorageFailed",
    "disk_failure",
]

_MAX_LISTED = 200
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE})


class GraphRefused(GraphError):
    """No output of the graph can run. `complaints` says why, `dependent_outputs` which outputs each fault stops."""

    code = "graph_refused"

    def __init__(
        self, complaints: Sequence[Complaint], dependent_outputs: Mapping[NodeId, Sequence[str]] | None = None
    ) -> None:
        first = complaints[0]
        listed = [complaint.to_json() for complaint in complaints[:_MAX_LISTED]]
        super().__init__(
            first.message if len(complaints) == 1 else f"{first.message} (and {len(complaints) - 1} more)",
            hint=first.remedy or "Correct what the complaints name.",
            node=first.node,
            input=first.input,
            details={"complaints": listed, "num_complaints": len(complaints)},
        )
        self.complaints = tuple(complaints)
        self.dependent_outputs = dependent_outputs or {}


class NotReady(AtelierError):
    """The server is up but cannot do this yet (no worker has published its nodes)."""

    code = "not_ready"


class PreconditionFailed(AtelierError):
    """The stored version is not the one the client saw."""

    code = "version_conflict"


class DownloadRefused(AtelierError):
    """A model is not downloaded: from that host, under that name, or with that content."""

    code = "download_refused"


class MediaTooLarge(AtelierError):
    """A picture is too large to be decoded safely."""

    code = "media_too_large"


class StorageFailed(AtelierError):
    """The job store or a disk refuses to write (full, read-only, broken). What was accepted before is kept."""

    code = "storage_failed"


def disk_failure(error: OSError) -> StorageFailed | None:
    """The error to show for a disk that refuses; None when `error` is of another kind."""
    if error.errno not in _DISK_ERRORS:
        return None
    return StorageFailed(
        f"The server cannot write: {error.strerror}.", hint="Free space on the server's disks, then send it again."
    )
