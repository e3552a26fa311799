"""Finished files on their way out: bytes into the staging folder, names as the server will place them."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.core.containment import resolve_inside
from engine.core.digest import digest_file
from engine.core.errors import ContainmentError, NodeError

__all__ = ["checked_prefix", "expand_tokens", "stage_bytes", "stage_file"]

_EXTENSION = re.compile(r"[A-Za-z0-9]{1,16}")
_DATE_TOKENS = ("year", "month", "day", "hour", "minute", "second")


def stage_bytes(folder: Path, data: bytes, extension: str) -> str:
    """As `stage_file` for bytes in memory."""
    return stage_file(folder, lambda path: _write(path, data), extension)[0]


def stage_file(folder: Path, write: Callable[[Path], None], extension: str) -> tuple[str, int]:
    """Have a file written and kept durably: its name in the staging folder, `<sha-256>.<unique>.<extension>`, and size.

    When this returns, the bytes survive a power cut: temp file, fsync, rename, fsync of the folder. Raises NodeError
    (code storage_failed) when the disk refuses, and what `write` raises; nothing is left then.
    """
    if not _EXTENSION.fullmatch(extension):
        raise NodeError(f"{extension!r} is not a file extension.", code="bad_file_name", hint="Use letters and digits.")
    unique = uuid.uuid4().hex[:12]
    temporary = folder / f".{unique}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
            size_bytes = stream.seek(0, os.SEEK_END)
        name = f"{digest_file(temporary)}.{unique}.{extension.lower()}"
        os.replace(temporary, folder / name)
        _sync_folder(folder)
    except OSError as error:
        raise NodeError(
            f"A file could not be written: {error.strerror or error}.",
            code="storage_failed",
            hint=f"Free space on the disk of {folder}, then queue the job again.",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return name, size_bytes


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows has no handle for a folder to flush
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def expand_tokens(prefix: str, *, width_px: int, height_px: int, batch_number: int, now: time.struct_time) -> str:
    """Replace %width%, %height%, %batch_num% and the date and time tokens of a file name prefix."""
    values: dict[str, Any] = {"width": width_px, "height": height_px, "batch_num": batch_number, "year": now.tm_year}
    for name, value in zip(_DATE_TOKENS[1:], now[1:6]):
        values[name] = f"{value:02d}"
    for name, value in values.items():
        prefix = prefix.replace(f"%{name}%", str(value))
    return prefix


def checked_prefix(root: Path, prefix: str) -> str:
    """`prefix` with forward slashes if it stays inside `root`. Raises NodeError that names it otherwise."""
    plain = prefix.replace("\\", "/")
    if not plain.rpartition("/")[2]:
        raise NodeError(
            f"The file name prefix {prefix!r} has no name.",
            code="bad_file_name",
            hint="Add a name after the last slash.",
        )
    try:
        resolve_inside(root, plain)
    except ContainmentError as error:
        raise NodeError(
            f"Files cannot be saved as {prefix!r}: {error.message}",
            code="path_outside_root",
            hint="Use a name, or folders and a name, inside the output folder.",
        ) from error
    return plain
