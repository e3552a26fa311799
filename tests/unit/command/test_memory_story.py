"""What `doctor` tells of memory: budgets, attention kernels, and the story of a job of the running server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from engine.command.doctor import examine
from engine.command.memory_story import memory_lines, read_memory_story
from engine.core.errors import NotFoundError, SettingsError
from engine.core.settings import MemorySettings
from tests.server_harness import settings_in

ROOT = Path(__file__).resolve().parents[3]
STORY = {
    "changes": [
        {"number": 4, "kind": "loaded", "what": "network of a.safetensors", "num_bytes": 3 << 20, "why": ""},
        {"number": 5, "kind": "shrunk", "what": "vae of b.safetensors", "num_bytes": 1 << 20, "why": "room for it"},
    ],
    "num_changes": 3,
    "devices": [
        {
            "device": "cpu", "budget_bytes": 8 << 20, "resident_bytes": 3 << 20,
            "networks": [
                {
                    "what": "network of a.safetensors", "resident_bytes": 3 << 20, "moved_bytes": 0,
                    "mapped_bytes": 1 << 20, "pinned": True,
                }
            ],
        }
    ],
}  # fmt: skip


class Records(BaseHTTPRequestHandler):
    """Answers for two jobs, to those who know the token."""

    def do_GET(self) -> None:
        jobs: dict[str, Any] = {"told": {"stats": {"memory": STORY}}, "silent": {"stats": {}}}
        record = jobs.get(self.path.removeprefix("/api/v1/jobs/"))
        if self.headers["Authorization"] != "Bearer secret":
            status, body = 401, {"error": {"message": "A token is required."}}
        elif record is None:
            status, body = 404, {"error": {"message": "There is no such job."}}
        else:
            status, body = 200, record
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: Any) -> None:
        """Quietly."""


@contextmanager
def serving() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Records)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_story_is_told_in_lines() -> None:
    assert memory_lines(STORY) == [
        "(1 earlier changes are not shown)",
        "loaded        3.0 MiB  network of a.safetensors",
        "shrunk        1.0 MiB  vae of b.safetensors (room for it)",
        "cpu:      3.0 MiB of      8.0 MiB in use",
        "       3.0 MiB resident,      0.0 MiB moved in each forward,      1.0 MiB mapped  "
        "network of a.safetensors (kept loaded)",
    ]
    assert memory_lines({"changes": [], "num_changes": 0, "devices": []})[0].startswith("Nothing was loaded")


def test_the_story_of_a_job_is_asked_of_the_running_server(tmp_path: Path) -> None:
    with serving() as port:
        settings = replace(settings_in(tmp_path), port=port, token="secret", listen=("0.0.0.0",))
        assert read_memory_story(settings, "told") == STORY
        with pytest.raises(NotFoundError, match="no memory story"):
            read_memory_story(settings, "silent")
        with pytest.raises(NotFoundError, match="no such job"):
            read_memory_story(settings, "other/../job")
        with pytest.raises(NotFoundError, match="token is required"):
            read_memory_story(replace(settings, token="wrong"), "told")
    with pytest.raises(SettingsError, match="No server answers"):
        read_memory_story(settings, "told")


def test_the_doctor_names_attention_kernels_and_the_budget_of_these_flags(tmp_path: Path) -> None:
    memory = MemorySettings(plan="none", device="cpu", max_vram_bytes=1 << 29, pinned=("a.safetensors",))
    findings = examine(ROOT, settings_in(tmp_path, memory=memory))
    found = {item.topic: item.text for item in findings if item.topic == "attention"}
    assert found == {"attention": "cpu: flash, math (the first that can is used)"}
    plans = [item.text for item in findings if item.topic == "memory plan"]
    assert plans == [
        "cpu: weights and activations may take 0.50 GiB; weights are streamed",
        "kept loaded: a.safetensors",
    ]
