"""HTTP requests for routes of packs, answered by a real aiohttp application over connections in memory.

Handlers get a genuine request and may return everything aiohttp can send that comes to an end. The connection is
HTTP/1.0: what the application writes is one head and one body, whatever kind of response made it.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import mimetypes
import os
import traceback
from pathlib import Path
from typing import Any

from aiohttp import web

from engine.compat.comfyui.worker.host import RecordedRoute
from engine.core.containment import open_inside
from engine.core.errors import ContainmentError
from engine.core.folders import Folders
from engine.protocol.messages import CallPack, PackReply

__all__ = ["MAX_REPLY_BYTES", "WebCalls", "refusal"]

_LOG = logging.getLogger(__name__)
MAX_REPLY_BYTES = 256 << 20
_MAX_REQUEST_BYTES = 512 << 20
"""More than a frame holds: the server has applied the limit of the settings."""

_NOT_PASSED_ON = frozenset(
    ("connection", "content-length", "cookie", "authorization", "expect", "keep-alive", "te", "trailer",
     "transfer-encoding", "upgrade", "proxy-authorization", "proxy-connection")
)  # fmt: skip
"""Headers about the connection between client and server, and those that prove who the client is."""


class WebCalls:
    """The application. `add` its routes, then `answer` on one event loop; nothing can be added after the first call."""

    def __init__(self, folders: Folders) -> None:
        self._app = web.Application(client_max_size=_MAX_REQUEST_BYTES)
        self._roots = _served_roots(folders)
        self._own_state = folders.data
        self._runner: web.AppRunner | None = None
        self._setting_up = asyncio.Lock()

    def add(self, route: RecordedRoute) -> None:
        """Serve a route. Raises ValueError for what cannot be: a bad pattern, a folder that packs may not serve."""
        if route.method == "SUBAPP":
            self._app.add_subapp(route.path, route.handler)
        elif route.method == "STATIC":
            self._add_folder(route)
        elif route.method == "GET":
            self._app.router.add_get(route.path, self._guarded(route))
        else:
            self._app.router.add_route(route.method, route.path, self._guarded(route))

    def _add_folder(self, route: RecordedRoute) -> None:
        root = Path(os.fspath(route.handler))
        if not self._may_serve(root):
            raise ValueError(f"the folder {root} is none that packs may serve")

        async def send_file(request: web.Request) -> web.StreamResponse:
            name = request.match_info["name"]
            try:
                with open_inside(root, name) as stream:
                    data = await asyncio.to_thread(stream.read, MAX_REPLY_BYTES + 1)
            except (FileNotFoundError, ContainmentError):
                raise web.HTTPNotFound from None
            kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
            return web.Response(body=data, content_type=kind)

        self._app.router.add_get(route.path.rstrip("/") + "/{name:.+}", send_file)

    # ------------------------------------------------------------------ one call

    async def answer(self, call: CallPack) -> PackReply:
        """Answer a request within its time: 504 when the handler takes longer, and 500 when it breaks off."""
        async with self._setting_up:
            if self._runner is None:
                runner = web.AppRunner(self._app, handle_signals=False, access_log=None, handler_cancellation=True)
                await runner.setup()
                self._runner = runner
        server = self._runner.server
        assert server is not None
        pipe = _Pipe(str(call.head.get("remote", "")))
        connection = server()
        connection.connection_made(pipe)
        try:
            connection.data_received(_request_text(call))
            await asyncio.wait_for(pipe.is_over.wait(), call.timeout_s)
        except asyncio.TimeoutError:
            sentence = f"The pack gave no whole answer within {call.timeout_s:g} s; answers without end are not served."
            return refusal(call.request, 504, "pack_too_slow", sentence)
        finally:
            pipe.abort()
            connection.connection_lost(None)  # ends a handler that is still at work
        if pipe.num_bytes > MAX_REPLY_BYTES:
            sentence = f"The answer of the pack is larger than {MAX_REPLY_BYTES} bytes."
            return refusal(call.request, 502, "pack_answer_too_large", sentence)
        return _reply(call.request, pipe.text())

    def _guarded(self, route: RecordedRoute) -> Any:
        """The handler; what it raises becomes a reply that names the pack."""

        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                response = route.handler(request)
                if inspect.isawaitable(response):
                    response = await response
                if isinstance(response, web.FileResponse) and not self._may_send(response):
                    return _error(403, "path_outside_root", f"{route.pack} may not send that file.")
                if isinstance(response, web.StreamResponse):
                    return response
                raise TypeError(f"the handler returned {type(response).__name__} instead of a response")
            except web.HTTPException:
                raise
            except Exception as error:  # noqa: BLE001 - code of a pack; the client is told
                what = f"{route.pack} failed to answer {request.method} {request.path}"
                _LOG.error("%s:\n%s", what, traceback.format_exc())
                return _error(500, "pack_failed", f"{what}: {type(error).__name__}: {error}", pack=route.pack)

        return handle

    def _may_send(self, response: web.FileResponse) -> bool:
        path = getattr(response, "_path", None)
        return path is not None and self._may_serve(Path(path))

    def _may_serve(self, path: Path) -> bool:
        real, own = Path(os.path.realpath(path)), Path(os.path.realpath(self._own_state))
        if real == own or own in real.parents or real in own.parents:
            return False
        return any(real == root or root in real.parents for root in self._roots)


def refusal(request: int, status: int, kind: str, message: str) -> PackReply:
    """A reply that says why there is no other."""
    body = _error(status, kind, message).body
    return PackReply(request, {"status": status, "headers": [["Content-Type", "application/json"]]}, bytes(body or b""))


def _error(status: int, kind: str, message: str, **extra: Any) -> web.Response:
    error = {"type": kind, "message": message, "details": "", "extra_info": extra}
    return web.json_response({"error": error, "node_errors": {}}, status=status)


def _served_roots(folders: Folders) -> tuple[Path, ...]:
    """The folders whose files packs may send: their own, the working folders, and the models."""
    models = (path for folder in folders.models.values() for path in folder.paths)
    named = (*folders.custom_nodes, folders.input, folders.output, folders.temp, folders.user, *models)
    return tuple({Path(os.path.realpath(path)): None for path in named})


# ------------------------------------------------------------------ HTTP in memory


class _Pipe(asyncio.Transport):
    """A connection whose other end is a list of bytes."""

    def __init__(self, remote: str) -> None:
        super().__init__({"peername": (remote, 0)})
        self._parts: list[bytes] = []
        self._is_closing = False
        self.num_bytes = 0
        self.is_over = asyncio.Event()

    def text(self) -> bytes:
        """Everything written so far."""
        return b"".join(self._parts)

    def write(self, data: Any) -> None:
        """Keep the bytes; more than an answer may have end the connection."""
        if self._is_closing:
            return
        self.num_bytes += len(data)
        if self.num_bytes > MAX_REPLY_BYTES:
            self.close()
        else:
            self._parts.append(bytes(data))

    def close(self) -> None:
        """The answer is complete."""
        self._is_closing = True
        self.is_over.set()

    def abort(self) -> None:
        """The same: nothing is buffered."""
        self.close()

    def is_closing(self) -> bool:
        """Whether nothing more is taken."""
        return self._is_closing

    def is_reading(self) -> bool:
        """The request was delivered as a whole."""
        return False

    def pause_reading(self) -> None:
        """Nothing more comes anyway."""

    def resume_reading(self) -> None:
        """Nothing more comes anyway."""


def _request_text(call: CallPack) -> bytes:
    head = call.head
    lines = [f"{head['method']} {head['target']} HTTP/1.0"]
    lines += [f"{name}: {value}" for name, value in head["headers"] if name.lower() not in _NOT_PASSED_ON]
    if call.body:
        lines.append(f"Content-Length: {len(call.body)}")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + call.body


def _reply(request: int, text: bytes) -> PackReply:
    head, end, body = text.partition(b"\r\n\r\n")
    first, *lines = head.decode("utf-8", "surrogateescape").split("\r\n")
    parts = first.split(" ", 2)
    if not end or len(parts) < 2 or not parts[1].isdigit():
        return refusal(request, 500, "pack_failed", "The pack broke off its answer; the log says why.")
    headers = [[name, value.strip()] for name, _, value in (line.partition(":") for line in lines)]
    return PackReply(request, {"status": int(parts[1]), "headers": headers}, body)
