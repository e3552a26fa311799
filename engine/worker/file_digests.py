"""What is in a file, cheaply enough to ask before every job: content digests remembered by size and time."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path

from engine.core.digest import digest_bytes, digest_file

__all__ = ["SAMPLED_ABOVE_BYTES", "FileDigests"]

SAMPLED_ABOVE_BYTES = 64 << 20
"""Files above this size are known by size, time, head and tail; reading gigabytes before each job is no option."""

_SAMPLE_BYTES = 1 << 20
_MAX_REMEMBERED = 10_000

_Key = tuple[str, int, int]


class FileDigests:
    """Digests of files, remembered as long as path, size and modification time stay the same. Any thread may ask."""

    def __init__(self, sampled_above_bytes: int = SAMPLED_ABOVE_BYTES) -> None:
        self._sampled_above_bytes = sampled_above_bytes
        self._known: OrderedDict[_Key, str] = OrderedDict()
        self._lock = threading.Lock()

    def is_known(self, path: Path) -> bool:
        """Whether `digest` would answer without reading the file. Raises OSError as `digest`."""
        return self._key(path) in self._known

    def digest(self, path: Path) -> str:
        """The digest of the file's present content; of a folder, of its file names, sizes and times.

        Raises OSError when it cannot be read.
        """
        key = self._key(path)
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known
        found = self._read(path, key)
        with self._lock:
            self._known[key] = found
            while len(self._known) > _MAX_REMEMBERED:
                self._known.popitem(last=False)
        return found

    def _key(self, path: Path) -> _Key:
        facts = path.stat()
        return (str(path), facts.st_size, facts.st_mtime_ns)

    def _read(self, path: Path, key: _Key) -> str:
        _, size, changed_ns = key
        if path.is_dir():
            return _folder_digest(path)
        if size <= self._sampled_above_bytes:
            return digest_file(path)
        with path.open("rb") as stream:
            head = stream.read(_SAMPLE_BYTES)
            stream.seek(-_SAMPLE_BYTES, os.SEEK_END)
            return digest_bytes(b"sampled", f"{size} {changed_ns}".encode(), head, stream.read(_SAMPLE_BYTES))


def _folder_digest(root: Path) -> str:
    parts = []
    for folder, subfolders, files in os.walk(root):
        subfolders.sort()
        for name in sorted(files):
            facts = Path(folder, name).stat()
            relative = os.path.relpath(os.path.join(folder, name), root)
            parts.append(f"{relative} {facts.st_size} {facts.st_mtime_ns}".encode("utf-8", "surrogateescape"))
    return digest_bytes(b"folder", *parts)
