"""A file that is being received: written beside its place, hashed as it grows, named when it is what it should be."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import BinaryIO

from engine.core.errors import ConflictError
from engine.server.durable_files import make_folder, sync_folder
from engine.server.failures import DownloadRefused
from engine.server.outputs import link_exclusively

__all__ = ["Part"]

_BLOCK_BYTES = 4 << 20
_MAX_HEADER_BYTES = 100 << 20


class Part:
    """The part at `path`. Blocks on the disk: call it in a thread, one call at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: BinaryIO | None = None
        self._digest = hashlib.sha256()
        try:
            self.size_bytes = path.stat().st_size
        except OSError:
            self.size_bytes = 0

    def open(self) -> None:
        """Open it, hashing what is there."""
        make_folder(self._path.parent)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        self._stream = os.fdopen(os.open(self._path, flags, 0o644), "r+b")
        self._digest, self.size_bytes = hashlib.sha256(), 0
        while block := self._stream.read(_BLOCK_BYTES):
            self._digest.update(block)
            self.size_bytes += len(block)

    def write(self, data: bytes) -> None:
        """Append."""
        assert self._stream is not None  # opened before
        self._stream.write(data)
        self._digest.update(data)
        self.size_bytes += len(data)

    def restart(self) -> None:
        """Throw away what is there."""
        assert self._stream is not None
        self._stream.seek(0)
        self._stream.truncate()
        self._digest, self.size_bytes = hashlib.sha256(), 0

    def finish(self, target: Path, sha256: str) -> None:
        """Give it its name. Raises DownloadRefused, after removing it, when it is not what it should be."""
        assert self._stream is not None
        self._stream.flush()
        os.fsync(self._stream.fileno())
        problem = None if self._digest.hexdigest() == sha256 else ("its digest is another one", "digest_differs")
        if problem is None and not self._is_safetensors():
            problem = ("it is no safetensors file", "not_safetensors")
        if problem is not None:
            self.remove()
            raise DownloadRefused(f"{target.name} was received but not kept: {problem[0]}.", code=problem[1])
        make_folder(target.parent)
        if not link_exclusively(self._path, target):
            raise ConflictError(f"{target.name} is there already.", code="file_exists")
        sync_folder(target.parent)
        self.remove()

    def _is_safetensors(self) -> bool:
        """Whether it begins as such a file does: the length of a JSON object, and the object."""
        assert self._stream is not None
        self._stream.seek(0)
        length = int.from_bytes(self._stream.read(8), "little")
        if not 2 <= length <= min(_MAX_HEADER_BYTES, self.size_bytes - 8):
            return False
        try:
            return isinstance(json.loads(self._stream.read(length)), dict)
        except (ValueError, RecursionError):
            return False

    def close(self) -> None:
        """Let go of it."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def remove(self) -> None:
        """Remove the part from the disk."""
        self.close()
        self._path.unlink(missing_ok=True)
