"""Open connections on which nothing happens: a client that never finishes its request does not keep its place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.typedefs import Handler

__all__ = ["ConnectionLimits", "ConnectionWatch"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How long and how many connections may wait for a request.

    head_s: from the first moment of a connection to a whole request head.
    idle_s: from the end of a response to the next whole head.
    max_waiting: how many may wait at once; beyond it those that wait longest are closed.
    """

    head_s: float = 20.0
    idle_s: float = 75.0
    max_waiting: int = 400


class ConnectionWatch:
    """Closes connections that wait too long for a request. One that is being answered takes all the time it needs.

    aiohttp limits neither, so this notes when a request begins (a middleware) and ends (an access logger: the one
    public hook after the last byte), and looks through the connections in between.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._deadlines: dict[object, float] = {}
        self._busy: set[object] = set()

    def runner(self, app: web.Application, **options: Any) -> web.AppRunner:
        """A runner whose connections can be watched; `options` are aiohttp's. Changes `app`: call it once."""
        watch = self

        @web.middleware
        async def note_begin(request: web.Request, handler: Handler) -> web.StreamResponse:
            watch._busy.add(request.protocol)
            return await handler(request)

        class EndOfRequest(AbstractAccessLogger):
            def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
                watch._note_end(request.protocol)

        app.middlewares.insert(0, note_begin)
        return web.AppRunner(app, access_log=_log, access_log_class=EndOfRequest, **options)

    def _note_end(self, connection: object) -> None:
        self._busy.discard(connection)
        self._deadlines[connection] = asyncio.get_running_loop().time() + self._limits.idle_s

    @asynccontextmanager
    async def watching(self, runner: web.AppRunner) -> AsyncIterator[None]:
        """Look after the connections of a set-up runner."""
        task = asyncio.create_task(self._sweep_on(runner))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _sweep_on(self, runner: web.AppRunner) -> None:
        interval_s = min(1.0, self._limits.head_s / 4)
        while True:
            await asyncio.sleep(interval_s)
            if runner.server is not None:
                self._sweep(runner.server)

    def _sweep(self, server: web.Server) -> None:
        """Close what waited too long, and the longest waiting ones beyond the number that may."""
        now = asyncio.get_running_loop().time()
        connections = server.connections
        self._busy.intersection_update(connections)
        waiting = {
            connection: self._deadlines.get(connection, now + self._limits.head_s)
            for connection in connections
            if connection not in self._busy
        }
        self._deadlines = waiting
        by_age = sorted(waiting, key=waiting.__getitem__)
        num_surplus = max(0, len(by_age) - self._limits.max_waiting)
        late = [connection for connection in by_age if waiting[connection] <= now]
        closed = dict.fromkeys([*by_age[:num_surplus], *late])
        for connection in closed:
            connection.force_close()
        if closed:
            _log.info("%d connections that sent no whole request were closed.", len(closed))
