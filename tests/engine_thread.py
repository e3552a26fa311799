"""A whole engine on a thread of its own, for tests that are not coroutines: real store, real worker process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from engine.core.folders import Folders, default_model_folders
from engine.core.settings import Settings
from engine.server.core import Engine

T = TypeVar("T")


def folders_below(base: Path, custom_nodes: tuple[Path, ...] = ()) -> Folders:
    """Existing folders of an installation below `base`."""
    output = base / "output"
    folders = Folders(
        base,
        base / "input",
        output,
        base / "temp",
        base / "user",
        custom_nodes or (base / "custom_nodes",),
        default_model_folders(base / "models", output, custom_nodes or (base / "custom_nodes",)),
    )
    for path in (folders.input, folders.output, folders.temp, folders.user, *folders.custom_nodes):
        path.mkdir(parents=True, exist_ok=True)
    return folders


class EngineThread:
    """Opens an Engine, waits until a worker is ready, and runs coroutine functions of it from other threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._is_ready = threading.Event()
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.engine: Engine

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        try:
            async with Engine.open(self._settings) as engine:
                self.engine = engine
                while not engine.is_ready:
                    if engine.services.workers.have_failed:
                        raise RuntimeError("\n".join(item.text for item in engine.services.logs.entries()[-30:]))
                    await asyncio.sleep(0.02)
                self._is_ready.set()
                await self._stop.wait()
        except BaseException as error:  # noqa: BLE001 - handed to the test's thread
            self._failure = error
            self._is_ready.set()

    def __enter__(self) -> EngineThread:
        self._thread.start()
        assert self._is_ready.wait(180)
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *exception: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)

    def call(self, function: Callable[[Engine], Awaitable[T]], timeout_s: float = 240.0) -> T:
        """The result of `function(engine)`, run on the engine's loop."""

        async def run() -> Any:
            return await function(self.engine)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(timeout_s)
