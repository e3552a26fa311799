"""The process and its surroundings: frames on the original pipes, prints elsewhere, no life after the server."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import BinaryIO

__all__ = ["die_with_parent", "ignore_interrupts", "take_over_stdio"]

_PR_SET_PDEATHSIG = 1


def take_over_stdio() -> tuple[BinaryIO, BinaryIO]:
    """Keep the pipes to the server for frames and give everybody else /dev/null to read and stderr to print to.

    Works on file descriptors, so prints of C libraries and of child processes do not reach the frames either; the
    duplicates are not inherited by child processes.
    """
    frames_in = os.fdopen(os.dup(0), "rb")
    frames_out = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        # What nodes print may hold any character, whatever the locale of a service is.
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    return frames_in, frames_out


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends (Linux; elsewhere end of input does it).

    A node that holds the interpreter lock keeps every Python thread from noticing the end of input; the kernel's
    signal needs none of them.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")


def ignore_interrupts() -> None:
    """Leave Ctrl-C to the server, which shares the terminal and decides what happens to running jobs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
