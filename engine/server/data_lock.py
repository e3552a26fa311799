"""One server per data folder: a lock that the system releases when the process ends, however it ends."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from engine.core.errors import SettingsError

__all__ = ["DataLock"]


class DataLock:
    """An exclusive lock on a folder, held until `release`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._stream: BinaryIO = (folder / "lock").open("a+b")
        try:
            _lock(self._stream)
        except OSError as error:
            self._stream.close()
            raise SettingsError(
                f"Another process is using {folder}.",
                code="data_folder_in_use",
                hint="Stop it, send it the job over HTTP, or start this one with another --user-directory.",
            ) from error

    def release(self) -> None:
        """Let the next process in."""
        self._stream.close()


def _lock(stream: BinaryIO) -> None:
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
