"""Servers in processes of their own, to be killed: `serve_toys.py FOLDER PORT [real] [editor]`.

`real`: with the real worker, not the fake one; `editor`: with the built editor at /.

Imports everything once, then forks a server for every line on its standard input, prints its process id, and prints
how it ended when it has: a fresh process each time, without the seconds that imports take.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from engine.core.settings import Settings
from engine.server import composition
from engine.server.app import serve
from tests.server_harness import FAKE_WORKER, ROOT, settings_in


def with_packs(settings: Settings) -> Settings:
    """The settings with the packs of the process tests."""
    return replace(settings, folders=replace(settings.folders, custom_nodes=(ROOT / "tests" / "processes" / "packs",)))


def main() -> None:
    is_real, has_editor = "real" in sys.argv[3:], "editor" in sys.argv[3:]
    settings = settings_in(Path(sys.argv[1]), port=int(sys.argv[2]))
    composition.DRAIN_GRACE_S = 0.5  # jobs of tests end at once or never
    if is_real:
        settings = with_packs(settings)
    if has_editor:
        settings = replace(settings, editor_root=ROOT / "web" / "dist")
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open(os.devnull, os.O_RDWR), 0)
            os.dup2(2, 1)
            os._exit(serve(settings, worker_command=None if is_real else FAKE_WORKER))
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
