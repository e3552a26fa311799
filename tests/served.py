"""`main.py serve` as a child process and one connection to it, for tests of the whole system."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.own_port import own_port

__all__ = ["Served", "serving"]

ROOT = Path(__file__).resolve().parents[1]


class Served:
    """A server on a port of its own, with a folder of its own. `flags` are added to its command line."""

    def __init__(self, base: Path, *flags: str) -> None:
        self.port = own_port()
        self.started_s = time.perf_counter()
        command = [sys.executable, str(ROOT / "main.py"), "serve", "--no-editor", "--port", str(self.port)]
        command += ["--base-directory", str(base), *flags]
        environment = {**os.environ, "ATELIER_SYSTEM_PYTHON": "1"}
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Status and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def until(self, path: str) -> float:
        """Seconds from the start of the process until the path answers 200."""
        while True:
            try:
                if self.call("GET", path)[0] == 200:
                    return time.perf_counter() - self.started_s
            except OSError:
                pass
            assert self.process.poll() is None, "the server ended"
            assert time.perf_counter() - self.started_s < 120
            time.sleep(0.01)

    def run(self, prompt: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        """Seconds from submit to answer of a job that succeeds, and its record."""
        start = time.perf_counter()
        status, data = self.call("POST", "/api/v1/jobs", {"prompt": prompt, "wait": 60})
        took_s = time.perf_counter() - start
        assert status in (200, 201), data
        job = json.loads(data)
        job = job.get("job", job)
        assert job["state"] == "succeeded", job
        return took_s, job


@contextmanager
def serving(base: Path, *flags: str) -> Iterator[Served]:
    """A server that is told to end afterwards."""
    served = Served(base, *flags)
    try:
        yield served
    finally:
        served.process.send_signal(signal.SIGTERM)
        served.process.wait(60)
