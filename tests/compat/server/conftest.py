from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from engine.core.folders import Folders, default_model_folders
from engine.core.settings import Settings
from engine.server.app import running_server

PACKS = Path(__file__).parents[2] / "data" / "packs"


def make_settings(root: Path, *packs: str, **changes: Any) -> Settings:
    models, output, custom = root / "models", root / "output", (root / "custom_nodes",)
    folders = Folders(
        root, root / "input", output, root / "temp", root / "user", custom,
        default_model_folders(models, output, custom),
    )  # fmt: skip
    for kind in ("loras", "checkpoints", "embeddings"):
        (models / kind).mkdir(parents=True, exist_ok=True)
    custom[0].mkdir(parents=True, exist_ok=True)
    for pack in packs:
        shutil.copytree(PACKS / pack, custom[0] / pack, ignore=shutil.ignore_patterns("__pycache__"))
    return replace(Settings(folders=folders, port=0), **changes)


class ServerThread:
    """A real server with its real worker, on an event loop of its own. Started means that a worker accepts jobs."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.address = ""
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> ServerThread:
        self._thread.start()
        assert self._ready.wait(240)
        if self._failure is not None:
            raise self._failure
        return self

    def stop(self) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - told to whoever waits for the start
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with running_server(self.settings) as (engine, addresses):
            self.address = addresses[0]
            while not engine.is_ready:
                if engine.services.workers.have_failed:
                    raise RuntimeError("\n".join(item.text for item in engine.services.logs.entries()[-30:]))
                await asyncio.sleep(0.02)
            self._ready.set()
            await self._stop.wait()


@contextlib.contextmanager
def serving(settings: Settings) -> Iterator[ServerThread]:
    server = ServerThread(settings).start()
    try:
        yield server
    finally:
        server.stop()


@dataclass
class Listener:
    """A socket client that keeps what it hears."""

    socket: aiohttp.ClientWebSocketResponse
    messages: list[dict[str, Any]] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)

    async def next(self, timeout_s: float = 60.0) -> dict[str, Any] | bytes:
        message = await asyncio.wait_for(self.socket.receive(), timeout_s)
        if message.type is aiohttp.WSMsgType.BINARY:
            self.frames.append(message.data)
            return message.data
        assert message.type is aiohttp.WSMsgType.TEXT, message
        record = json.loads(message.data)
        self.messages.append(record)
        return record

    async def until_idle(self, prompt_id: str) -> list[dict[str, Any]]:
        """All messages up to the one that says this prompt is over."""
        while True:
            message = await self.next()
            if isinstance(message, dict) and message["type"] == "executing":
                data = message["data"]
                if data["node"] is None and data["prompt_id"] == prompt_id:
                    return self.messages

    async def until(self, kind: str) -> dict[str, Any]:
        while True:
            message = await self.next()
            if isinstance(message, dict) and message["type"] == kind:
                return message


@dataclass
class Client:
    """Calls to one server."""

    http: aiohttp.ClientSession
    address: str

    async def get(self, path: str, status: int = 200, **options: Any) -> Any:
        async with self.http.get(self.address + path, **options) as reply:
            body = await reply.read()
            assert reply.status == status, (reply.status, body[:500])
            is_json = reply.content_type == "application/json"
            return json.loads(body) if is_json else body

    async def post(self, path: str, body: Any = None, status: int = 200, **options: Any) -> Any:
        async with self.http.post(self.address + path, json=body, **options) as reply:
            data = await reply.read()
            assert reply.status == status, (reply.status, data[:500])
            return json.loads(data) if reply.content_type == "application/json" else data

    async def queue(self, prompt: Any, status: int = 200, **more: Any) -> Any:
        return await self.post("/prompt", {"prompt": prompt, **more}, status)

    async def finished(self, prompt_id: str, timeout_s: float = 60.0) -> dict[str, Any]:
        """The history entry of a job once it has ended."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            found = await self.get(f"/history/{prompt_id}")
            if found:
                return found[prompt_id]
            await asyncio.sleep(0.02)
        raise AssertionError(f"{prompt_id} did not end in {timeout_s} s")

    async def run(self, prompt: Any, **more: Any) -> dict[str, Any]:
        return await self.finished((await self.queue(prompt, **more))["prompt_id"])

    @contextlib.asynccontextmanager
    async def listen(self, client_id: str = "", features: dict[str, Any] | None = None) -> AsyncIterator[Listener]:
        suffix = f"?clientId={client_id}" if client_id else ""
        async with self.http.ws_connect(f"{self.address}/ws{suffix}") as socket:
            listener = Listener(socket)
            if features is not None:
                await socket.send_json({"type": "feature_flags", "data": features})
                await listener.until("feature_flags")
                listener.messages.clear()
            yield listener


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    """One server for all tests of this folder, with the sample packs."""
    packs = (
        "classic_pack",
        "schema_pack",
        "broken_pack",
        "prestart_pack",
        "server_pack",
        "any_names_pack",
        "saving_pack",
    )
    settings = make_settings(tmp_path_factory.mktemp("compat"), *packs)
    with serving(settings) as running:
        yield running


@pytest.fixture
async def client(server: ServerThread) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as http:
        yield Client(http, server.address)


@pytest.fixture
def folders(server: ServerThread) -> Folders:
    return server.settings.folders


def picture(width: int = 16, height: int = 16, color: int = 0) -> dict[str, Any]:
    return {
        "class_type": "EmptyImage",
        "inputs": {"width": width, "height": height, "batch_size": 1, "color": color},
    }


def saved(source: str, prefix: str = "ws") -> dict[str, Any]:
    return {"class_type": "SaveImage", "inputs": {"images": [source, 0], "filename_prefix": prefix}}
