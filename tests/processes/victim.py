"""A server process of its own that tests kill and start again on the same folder and port."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from tests.own_port import own_port
from tests.server_harness import ROOT

__all__ = ["Victim", "send"]


class Victim:
    """A server process that is killed and started again on the same folder and port.

    `options`: "real", "editor" (see serve_toys.py).
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options
        self.port = own_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.pid = 0
        self._starter: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Victim:
        command = (
            sys.executable,
            str(ROOT / "tests" / "processes" / "serve_toys.py"),
            str(self.folder),
            str(self.port),
            *self.options,
        )
        with (self.folder / "stderr.txt").open("wb") as errors:
            self._starter = await asyncio.create_subprocess_exec(
                *command,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._starter is not None
        if self.pid:
            await self.end(signal.SIGKILL)
        self._starter.stdin.close()
        await self._starter.wait()

    async def _line(self) -> int:
        return int(await self._starter.stdout.readline())

    async def start(self, session: aiohttp.ClientSession) -> None:
        """Start a fresh process; returns when it answers."""
        self._starter.stdin.write(b"\n")
        self.pid = await self._line()
        while True:
            with suppress(aiohttp.ClientError):
                async with session.get(f"{self.url}/api/v1/system/health") as reply:
                    assert reply.status == 200
                    return
            assert psutil.pid_exists(self.pid), (self.folder / "stderr.txt").read_text()[-3000:]
            await asyncio.sleep(0.01)

    async def end(self, number: int) -> int:
        """Send a signal; the exit code of the server."""
        os.kill(self.pid, number)
        code = await asyncio.wait_for(self._line(), 120)
        self.pid = 0
        return code

    def workers(self) -> list[psutil.Process]:
        """The worker processes of the running server."""
        return psutil.Process(self.pid).children()


async def send(session: aiohttp.ClientSession, url: str, name: str, prompt: dict[str, Any]) -> bool:
    """Whether the server acknowledged the job. A lost answer is asked for again with the same id."""
    try:
        async with session.post(f"{url}/api/v1/jobs", json={"prompt": prompt, "id": name}) as reply:
            assert reply.status in (200, 201), await reply.text()
            return True
    except (aiohttp.ClientError, ConnectionError):
        return False
