"""The web application over a running engine, and the process that serves it."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from aiohttp import web

from engine.core.errors import SettingsError
from engine.core.settings import Settings
from engine.server.composition import running_engine
from engine.server.compression import compressed
from engine.server.connections import ConnectionLimits, ConnectionWatch
from engine.server.core import Engine
from engine.server.operations import SERVICES
from engine.server.pages import add_pages
from engine.server.routes import add_native_routes
from engine.server.security import Gate, is_loopback, needs_token
from engine.server.services import Services
from engine.server.tls import tls_context

__all__ = ["create_app", "running_server", "serve", "with_token"]

_COMPAT = "engine.compat.comfyui.server"
_SHUTDOWN_S = 1.0


def create_app(services: Services) -> web.Application:
    """The application: the gate, the native API, the compatibility routes if they are installed, the pages."""
    settings = services.settings
    middlewares = [Gate(settings).middleware(), *([compressed] if settings.compress_responses else [])]
    app = web.Application(middlewares=middlewares, client_max_size=settings.max_upload_bytes)
    app[SERVICES] = services
    add_native_routes(app)
    if importlib.util.find_spec("engine.compat") is not None and importlib.util.find_spec(_COMPAT) is not None:
        mount = getattr(importlib.import_module(_COMPAT), "mount", None)
        if mount is not None:
            mount(app, services)
    add_pages(app, settings)

    async def end_streams(_: web.Application) -> None:
        services.feed.close()

    app.on_shutdown.append(end_streams)
    return app


def with_token(settings: Settings) -> Settings:
    """The settings, with a fresh token when the server can be reached from elsewhere and none was given."""
    if settings.token is None and needs_token(settings):
        return replace(settings, token=secrets.token_urlsafe(32))
    return settings


@asynccontextmanager
async def running_server(
    settings: Settings,
    *,
    clock: Callable[[], float] = time.time,
    worker_command: Sequence[str] | None = None,
    limits: ConnectionLimits | None = None,
) -> AsyncIterator[tuple[Engine, list[str]]]:
    """A served engine and its addresses. Port 0 takes a free port.

    Raises SettingsError when it would be reachable from elsewhere without a token, an address is taken, or the files
    for HTTPS cannot be used.
    """
    if settings.token is None and needs_token(settings):
        raise SettingsError(
            "A server that listens on other than loopback addresses needs a token.",
            code="token_required",
            hint="Give one with --token, or listen on 127.0.0.1.",
        )
    tls = tls_context(settings)
    async with running_engine(settings, clock, worker_command) as engine:
        watch = ConnectionWatch(limits or ConnectionLimits())
        runner = watch.runner(create_app(engine.services), auto_decompress=False, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        try:
            addresses = []
            for host in settings.listen:
                site = web.TCPSite(runner, host, settings.port, ssl_context=tls, reuse_address=True)
                try:
                    await site.start()
                except OSError as error:
                    raise SettingsError(
                        f"The server cannot listen on {host}:{settings.port}: {error.strerror or error}",
                        code="address_in_use",
                        hint="Stop what uses it, or choose another --port.",
                    ) from error
            for address in runner.addresses:
                name = f"[{address[0]}]" if ":" in address[0] else address[0]
                addresses.append(f"{'http' if tls is None else 'https'}://{name}:{address[1]}")
            async with watch.watching(runner):
                yield engine, addresses
        finally:
            await runner.cleanup()


def serve(settings: Settings, *, worker_command: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; then stop claiming, drain, and return 0. Prints the address (and token)."""
    return asyncio.run(_serve(with_token(settings), settings.token is None, worker_command))


async def _serve(settings: Settings, shows_token: bool, worker_command: Sequence[str] | None) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # Windows: Ctrl-C arrives as KeyboardInterrupt
            loop.add_signal_handler(number, stop.set)
    async with running_server(settings, worker_command=worker_command) as (_, addresses):
        for address in addresses:
            _say(f"Atelier is at {address}")
        if settings.token is not None and shows_token:
            _say(f"Open {addresses[0]}/?token={settings.token} or send the token as Authorization: Bearer.")
        if not all(is_loopback(host) for host in settings.listen):
            _say("It can be reached from other machines.")
        await stop.wait()
        _say("Stopping: running jobs that do not end in a few seconds go on at the next start.")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
