"""`main.py bench`: the benchmarks of tests/benchmarks, their figures as one table.

Arguments go to pytest, which knows those of tests/benchmarks/conftest.py as well: --model, --size, --against, --out …
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

__all__ = ["main"]


def main(root: Path, arguments: list[str]) -> int:
    """Run them one after the other, nothing else beside them; returns pytest's exit code."""
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-m", "", "tests/benchmarks", *arguments]
    return subprocess.call(command, cwd=root)
