"""The order of system calls behind an output: at no point does something durable name something that is not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server_harness import ROOT

CALLS = "fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat"
FACTS = (
    ("bytes of the staged file", r"fsync\(\d+<[^>]*/staging/\.\w+\.part>\)"),
    ("its name", r"rename\w*\(.*/staging/\.\w+\.part.*/staging/\w+\.\w+\.png"),
    ("the staging folder", r"fsync\(\d+<[^>]*/staging>\)"),
    ("the reserved name in the store", r"f(data)?sync\(\d+<[^>]*atelier\.sqlite3(-wal)?>\)"),
    ("the new folder's name", r"fsync\(\d+<[^>]*/output>\)"),
    ("the visible name", r"link\w*\(.*/staging/.*/output/sub/p_00001_\.png"),
    ("the folder's entries", r"fsync\(\d+<[^>]*/output/sub>\)"),
    ("the mark in the store", r"f(data)?sync\(\d+<[^>]*atelier\.sqlite3(-wal)?>\)"),
    ("the staged name goes", r"unlink\w*\(.*/staging/\w+\.\w+\.png"),
)


def traced(folder: Path) -> list[str]:
    """The calls of a program that stages and places one output, in order. Skips where nothing can be traced."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    trace = folder / "trace.txt"
    program = str(ROOT / "tests" / "processes" / "output_run.py")
    tracer = ["strace", "-f", "-y", "-s", "400", "-e", f"trace={CALLS}", "-o", str(trace)]
    done = subprocess.run(
        [*tracer, sys.executable, program, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    if "ptrace" in done.stderr or "PTRACE" in done.stderr:
        pytest.skip("processes cannot be traced here")
    assert done.returncode == 0, done.stderr
    return trace.read_text().splitlines()


def test_an_output_is_durable_before_anything_durable_names_it(tmp_path):
    calls = traced(tmp_path)
    begin = next(index for index, call in enumerate(calls) if re.search(FACTS[0][1], call))
    position = begin
    for what, pattern in FACTS:
        found = next((index for index in range(position, len(calls)) if re.search(pattern, calls[index])), None)
        assert found is not None, f"{what} does not come after what must come before it:\n" + "\n".join(calls[begin:])
        position = found + 1
