"""The whole system as its users meet it: the command, the real worker, HTTP. Start-up, cold and cached graphs."""

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

import psutil

from tests.own_port import own_port

ROOT = Path(__file__).resolve().parents[2]


class Served:
    """`main.py serve` as a child process, and one connection to it."""

    def __init__(self, base: Path) -> None:
        self.port = own_port()
        self.started_s = time.perf_counter()
        command = [
            sys.executable,
            str(ROOT / "main.py"),
            "serve",
            "--no-editor",
            "--port",
            str(self.port),
            "--base-directory",
            str(base),
        ]
        environment = {**os.environ, "ATELIER_SYSTEM_PYTHON": "1"}
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
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
        start = time.perf_counter()
        status, data = self.call("POST", "/api/v1/jobs", {"prompt": prompt, "wait": 60})
        took_s = time.perf_counter() - start
        assert status in (200, 201), data
        job = json.loads(data)
        job = job.get("job", job)
        assert job["state"] == "succeeded", job
        return took_s, job


@contextmanager
def serving(base: Path) -> Iterator[Served]:
    served = Served(base)
    try:
        yield served
    finally:
        served.process.send_signal(signal.SIGTERM)
        served.process.wait(60)


def chain(length: int, text: str) -> dict[str, Any]:
    """Strings joined one after the other, shown at the end."""
    prompt: dict[str, Any] = {"0": {"class_type": "PrimitiveString", "inputs": {"value": text}}}
    for number in range(1, length - 1):
        inputs = {"string": [str(number - 1), 0], "mode": "UPPERCASE"}
        prompt[str(number)] = {"class_type": "CaseConverter", "inputs": inputs}
    prompt[str(length - 1)] = {"class_type": "PreviewAny", "inputs": {"source": [str(length - 2), 0]}}
    return prompt


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def test_start_cold_and_cached_graphs_over_http(tmp_path: Path, figures) -> None:
    with serving(tmp_path) as first:
        first.until("/object_info")
        figures.add("system", "first start: node list", f"{time.perf_counter() - first.started_s:.2f} s")
    with serving(tmp_path) as server:
        figures.add("system", "second start: status page", f"{server.until('/'):.2f} s", "sooner than the node list")
        figures.add("system", "second start: /object_info", f"{server.until('/object_info'):.2f} s", "≤ 1.5 s")
        figures.add("system", "second start: a worker is ready", f"{server.until('/api/v1/system/ready'):.2f} s")
        resident = psutil.Process(server.process.pid).memory_info().rss / (1 << 20)
        figures.add("system", "resident memory of the server process", f"{resident:.0f} MiB")
        server.run(chain(10, "warm"))
        for length in (1000, 10_000):
            cold = [server.run(chain(length, f"text {attempt}")) for attempt in range(3)]
            assert all(len(job["ran"]) == length for _, job in cold)
            per_node = min(took_s for took_s, _ in cold) / length
            wanted = "≤ 0.2 ms" if length == 1000 else "linear"
            figures.add(
                "system", f"cold {length}-node graph, per node, submit to answer", milliseconds(per_node), wanted
            )
            cached = [server.run(chain(length, "text 2")) for _ in range(10)]
            assert all(job["ran"] == [] for _, job in cached)
            times = sorted(took_s for took_s, _ in cached)
            best, median = times[0], times[5]
            wanted = "≤ 50 ms" if length == 1000 else "linear"
            figures.add(
                "system", f"cached {length}-node graph, submit to answer, best of 10", milliseconds(best), wanted
            )
            figures.add("system", f"cached {length}-node graph, submit to answer, median", milliseconds(median), wanted)
