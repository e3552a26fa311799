"""The folder of converted pickles stays within its size: what was not used for longest goes, never what is open.

An open file is held by a shared lock (flock) that lives as long as its mapping, in whichever process that is. Windows
has no such lock and needs none: it refuses to delete a mapped file.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import BinaryIO

__all__ = ["evict", "hold_open", "note_use"]

_GRACE_S = 60.0
_log = logging.getLogger(__name__)


def note_use(path: Path) -> None:
    """Remember that a file was asked for just now (its access time; the time of its content stays)."""
    os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def hold_open(stream: BinaryIO) -> None:
    """Keep the file from being evicted until the last duplicate of this descriptor (a mapping has one) is closed."""
    if os.name == "nt":
        return
    import fcntl

    try:
        fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:  # a file system without locks: a mapped file outlives its name there as well
        _log.debug("%s cannot be locked: %s", stream.name, error)


def evict(folder: Path, max_bytes: int) -> list[Path]:
    """Delete the least recently used files until the folder holds at most `max_bytes`; those deleted.

    Files that are open, or were asked for within the last minute (they may be about to be opened), stay.
    """
    found = []
    for path in folder.glob("*.safetensors"):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue  # another worker was faster
        found.append((status.st_atime, status.st_size, path))
    total_bytes = sum(size for _, size, _ in found)
    latest_s = time.time() - _GRACE_S
    gone = []
    for used_s, size, path in sorted(found):
        if total_bytes <= max_bytes:
            break
        if used_s < latest_s and _delete_unless_open(path):
            gone.append(path)
            total_bytes -= size
    if gone:
        _log.info("%d converted files were deleted to keep %s within its size.", len(gone), folder)
    return gone


def _delete_unless_open(path: Path) -> bool:
    try:
        if os.name != "nt" and _is_open(path):
            return False
        path.unlink()
    except OSError as error:
        _log.debug("%s stays: %s", path, error)
        return False
    return True


def _is_open(path: Path) -> bool:
    import fcntl

    with path.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
