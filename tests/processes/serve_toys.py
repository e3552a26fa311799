"""Servers in processes of their own, to be killed: `serve_toys.py FOLDER PORT [real]` (the real worker, or the fake).

Imports everything once, then forks a server for every line on its standard input, prints its process id, and prints
how it ended when it has: a fresh process each time, without the seconds that imports take.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from engine.server.app import serve
from tests.server_harness import FAKE_WORKER, settings_in


def main() -> None:
    settings = settings_in(Path(sys.argv[1]), port=int(sys.argv[2]))
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open(os.devnull, os.O_RDWR), 0)
            os.dup2(2, 1)
            os._exit(serve(settings, worker_command=None if sys.argv[3:] == ["real"] else FAKE_WORKER))
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
