"""`main.py test`: every test, with pytest. Further arguments go to pytest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

__all__ = ["main"]


def main(root: Path, arguments: list[str]) -> int:
    """Run pytest in the project folder; returns its exit code."""
    return subprocess.call([sys.executable, "-m", "pytest", "-q", *arguments], cwd=root)
