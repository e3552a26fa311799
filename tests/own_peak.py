"""The peak of resident memory of this process alone."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

__all__ = ["own_peak_bytes"]


def own_peak_bytes() -> int:
    """Most bytes this program has had in memory since it began.

    On Linux `ru_maxrss` counts what was there before the program began too: the peak of the process that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text(encoding="ascii").splitlines())
        if "VmHWM" in lines:
            return int(lines["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
