"""The event loop on which code of packs answers calls, in a thread of its own beside the running nodes."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

__all__ = ["PackThread"]


class PackThread:
    """A daemon thread with an event loop, started when it is first asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop."""
        with self._lock:
            if self._loop is None:
                self._loop = _Loop()
                threading.Thread(target=self._loop.run_forever, name="pack-calls", daemon=True).start()
            return self._loop


class _Loop(asyncio.SelectorEventLoop):
    """A loop whose connections are in memory, where no kernel can send a file."""

    async def sendfile(self, *args: Any, **kwargs: Any) -> int:
        """Never: the caller then writes the file in pieces."""
        raise NotImplementedError
