"""One process at a time trains in a run folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.training.config.error import ConfigError

__all__ = ["held_alone"]


@contextmanager
def held_alone(folder: Path) -> Iterator[None]:
    """Hold the folder, made if it is not there; the system lets go of it when the process ends, however it ends.

    Raises ConfigError when another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+b") as stream:
        try:
            if os.name == "nt":
                import msvcrt

                msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            else:
                import fcntl

                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                f"Another process is training in {folder}.", hint="Wait for it, stop it, or name another folder."
            ) from None
        yield
