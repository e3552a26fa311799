"""The hashes people know weight files by, computed in one pass over the file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.core.errors import CheckpointError

__all__ = ["FileHashes", "hash_file"]

_CHUNK_BYTES = 1 << 20
_OLD_START, _OLD_BYTES = 0x100000, 0x10000
_AUTO_V2_DIGITS, _OLD_DIGITS = 10, 8


@dataclass(frozen=True, slots=True)
class FileHashes:
    """Hexadecimal SHA-256 values.

    sha256: of the whole file. tensor_data: of what follows a safetensors header, None for files without one; it stays
    when metadata change. Stability's ModelSpec calls it `hash_sha256` (with 0x before it), kohya's scripts
    `sshs_model_hash`, catalogues AutoV3 (its first 12 digits). old: of 64 KiB at 1 MiB, which was the first model
    hash of the web interfaces (AutoV1) and is kohya's legacy hash; 8 digits.
    """

    sha256: str
    tensor_data: str | None
    old: str

    @property
    def auto_v2(self) -> str:
        """The short hash that web interfaces write into pictures: the first ten digits."""
        return self.sha256[:_AUTO_V2_DIGITS]


def hash_file(path: Path, data_start: int | None, on_bytes: Callable[[int], None] | None = None) -> FileHashes:
    """Read the file once.

    data_start: where a safetensors file's data begin, None for other files. on_bytes: called with how many were read.
    Raises CheckpointError when the file cannot be read.
    """
    whole, data, old = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    position = 0
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                whole.update(chunk)
                if data_start is not None:
                    data.update(chunk[max(0, data_start - position) :])
                first, last = _OLD_START - position, _OLD_START + _OLD_BYTES - position
                old.update(chunk[max(0, first) : max(0, last)])
                position += len(chunk)
                if on_bytes is not None:
                    on_bytes(position)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.", hint="Check the file's name.") from error
    tensor_data = None if data_start is None else data.hexdigest()
    return FileHashes(whole.hexdigest(), tensor_data, old.hexdigest()[:_OLD_DIGITS])
