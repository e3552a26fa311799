"""`main.py test`: every test, with pytest. Further arguments go to pytest.

The tests are spread over the usable cores, file by file, so that what the tests of a file share is made once. A run
that names files or single tests stays in one process, where it starts sooner; so does one that wants the terminal
(`-s`, `--pdb`). `-n NUM` decides instead: `-n 0` is one process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

__all__ = ["main", "spreading"]

_BYTES_PER_PROCESS = 2 << 30
"""Memory that a test process and the workers its tests start take at most, but for the few largest tests."""

_IN_ORDER = "--no-loadscope-reorder"
"""Unit tests, the quickest, come last in the order of the folders: the processes end at nearly the same time."""


def main(root: Path, arguments: list[str]) -> int:
    """Run pytest in the project folder; returns its exit code."""
    command = [sys.executable, "-m", "pytest", "-q", *spreading(arguments, _num_processes()), *arguments]
    return subprocess.call(command, cwd=root)


def spreading(arguments: Sequence[str], num_processes: int) -> list[str]:
    """What pytest is told besides `arguments` to run in up to `num_processes` processes."""
    files = ["--dist", "loadfile", _IN_ORDER]
    if any(argument.startswith(("-n", "--numprocesses")) for argument in arguments):
        return files
    wants_one = any(
        argument in ("-s", "--pdb", "--trace", "--capture=no") or argument.split("::")[0].endswith(".py")
        for argument in arguments
    )
    return [] if wants_one or num_processes < 2 else ["-n", str(num_processes), *files]


def _num_processes() -> int:
    """One per core this process may use, as far as memory allows."""
    num_cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(num_cores, psutil.virtual_memory().available // _BYTES_PER_PROCESS)
