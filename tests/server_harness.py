"""A real server over the fake worker, for tests: settings in a fresh folder, an HTTP session, toy graphs."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp

from engine.core.folders import Folders, default_model_folders
from engine.core.settings import Settings
from engine.server.app import running_server
from engine.server.connections import ConnectionLimits
from engine.server.core import Engine

__all__ = ["FAKE_WORKER", "ROOT", "Server", "chain", "hurry", "running", "settings_in", "toy", "write"]

ROOT = Path(__file__).resolve().parents[1]
FAKE_WORKER = (sys.executable, str(ROOT / "tests" / "processes" / "fake_worker.py"))


def settings_in(folder: Path, **changes: Any) -> Settings:
    """Settings with every folder below `folder` and a free port."""
    folders = Folders(
        base=folder,
        input=folder / "input",
        output=folder / "output",
        temp=folder / "temp",
        user=folder / "user",
        custom_nodes=(),
        models=default_model_folders(folder / "models", folder / "output", ()),
    )
    for path in (folders.input, folders.output, folders.user):
        path.mkdir(parents=True, exist_ok=True)
    return replace(Settings(folders=folders, port=0, cancel_grace_s=0.3), **changes)


def hurry(server: Server) -> None:
    """End the naps of all toy nodes, those that run and those that come."""
    (server.engine.services.settings.folders.user / "hurry").touch()


def toy(kind: str, **inputs: Any) -> dict[str, Any]:
    """A prompt of one toy node."""
    return {"1": {"class_type": kind, "inputs": inputs}}


def write(text: str, *, prefix: str = "toy", count: int = 1, **more: str) -> dict[str, Any]:
    """A prompt that writes files."""
    return toy("Write", prefix=prefix, count=count, text=text, **more)


def chain(length: int, text: str = "a") -> dict[str, Any]:
    """A prompt of `length` nodes in a row, all of which the fake worker can cache."""
    prompt: dict[str, Any] = {"0": {"class_type": "Echo", "inputs": {"text": text}}}
    for number in range(1, length):
        kind = "Show" if number == length - 1 else "Echo"
        prompt[str(number)] = {"class_type": kind, "inputs": {"text": text, "after": [str(number - 1), 0]}}
    return prompt


@dataclass(frozen=True)
class Server:
    """A running server and a session that talks to it."""

    engine: Engine
    url: str
    session: aiohttp.ClientSession

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """(status, JSON or text) of a request to `/api/v1` + path, or to the absolute path."""
        target = path if path.startswith("/api/") or path == "/" else f"/api/v1{path}"
        async with self.session.request(method, self.url + target, **options) as reply:
            if reply.content_type == "application/json":
                return reply.status, await reply.json()
            return reply.status, await reply.text(errors="replace")

    async def submit(self, prompt: dict[str, Any], **body: Any) -> dict[str, Any]:
        """The job that a submit answers with."""
        status, answer = await self.call("POST", "/jobs", json={"prompt": prompt, **body})
        assert status in (200, 201), answer
        return answer["job"]


@asynccontextmanager
async def running(
    settings: Settings, worker: tuple[str, ...] | None = FAKE_WORKER, limits: ConnectionLimits | None = None
) -> AsyncIterator[Server]:
    """Serve with the fake worker, or with another worker's command line (None: the real one)."""
    async with (
        running_server(settings, clock=time.time, worker_command=worker, limits=limits) as (engine, addresses),
        aiohttp.ClientSession() as session,
    ):
        yield Server(engine, addresses[0], session)
