"""Content hashes of weight files, computed once per version of a file."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Protocol

from engine.core.digest import digest_file
from engine.weights.checkpoint import FileStamp

__all__ = ["DigestStore", "MemoryDigestStore", "content_digest"]


class DigestStore(Protocol):
    """Remembers digests by file version; a durable one survives restarts."""

    def get(self, stamp: FileStamp) -> str | None:
        """The SHA-256 stored for this version of the file."""
        ...

    def put(self, stamp: FileStamp, digest: str) -> None:
        """Remember the digest of this version."""
        ...


class MemoryDigestStore:
    """A store that lives as long as the process. Thread-safe."""

    def __init__(self) -> None:
        self._digests: dict[FileStamp, str] = {}
        self._lock = threading.Lock()

    def get(self, stamp: FileStamp) -> str | None:
        """The SHA-256 stored for this version of the file."""
        with self._lock:
            return self._digests.get(stamp)

    def put(self, stamp: FileStamp, digest: str) -> None:
        """Remember the digest of this version."""
        with self._lock:
            self._digests[stamp] = digest


def content_digest(path: Path, store: DigestStore) -> str:
    """SHA-256 of a file, 64 hex digits; read from the store when this version of the file was hashed before.

    Raises CheckpointError when the file is missing.
    """
    stamp = FileStamp.of(path)
    known = store.get(stamp)
    if known is None:
        known = digest_file(path)
        store.put(stamp, known)
    return known
