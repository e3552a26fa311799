"""A server in a process of its own, to be killed: `serve_toys.py FOLDER PORT`."""

from __future__ import annotations

import sys
from pathlib import Path

from engine.server.app import serve
from tests.server_harness import FAKE_WORKER, settings_in

if __name__ == "__main__":
    settings = settings_in(Path(sys.argv[1]), port=int(sys.argv[2]))
    sys.exit(serve(settings, worker_command=FAKE_WORKER))
