"""Reading requests and writing replies in the forms ComfyUI's clients expect."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiohttp import web

from engine.core.errors import AtelierError, ConflictError, ContainmentError, GraphError, NotFoundError
from engine.graph.json_text import load_json
from engine.server.failures import MediaTooLarge, NotReady, disk_failure
from engine.server.replies import status_of
from engine.server.services import Services

__all__ = ["SERVICES", "Handler", "add_routes", "empty", "json_text", "query_int", "read_json", "refusal", "say"]

SERVICES: web.AppKey[Services] = web.AppKey("comfyui_services", Services)
"""The services the compatibility routes work on."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_BODY_TIMEOUT_S = 30.0
_LARGE_BODY_BYTES = 1 << 16
_MAX_INT = 1 << 53
_log = logging.getLogger(__name__)


def add_routes(app: web.Application, routes: Iterable[tuple[str, str, Handler]], *, mirrored: bool = True) -> None:
    """Mount (method, path, handler) at `path`, and below `/api` too unless `mirrored` is False."""
    for method, path, handler in routes:
        guarded = _guarded(handler)
        for prefix in ("", "/api") if mirrored else ("",):
            # GET registers HEAD too; OPTIONS is answered by the gate.
            add = app.router.add_get if method == "GET" else functools.partial(app.router.add_route, method)
            add(prefix + path, guarded)


def _guarded(handler: Handler) -> Handler:
    """Turn typed errors into replies that clients of these routes can read."""

    @functools.wraps(handler)
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except AtelierError as error:
            return _error_reply(error)
        except OSError as error:
            failure = disk_failure(error)
            if failure is None:
                raise
            return _error_reply(failure)

    return handle


def _error_reply(error: AtelierError) -> web.Response:
    if isinstance(error, ContainmentError):
        status = 403
    elif isinstance(error, NotFoundError):
        status = 404
    elif isinstance(error, ConflictError):
        status = 409
    elif isinstance(error, MediaTooLarge):
        status = 413
    elif isinstance(error, NotReady):
        status = 503
    else:
        status = status_of(error)
    if status == 500:
        _log.error("a request failed: %s", error, exc_info=error)
    headers = {"Retry-After": "2"} if status == 503 else None
    return refusal(status, error.code, error.message, hint=error.hint, headers=headers)


def refusal(
    status: int, kind: str, message: str, *, hint: str = "", headers: dict[str, str] | None = None
) -> web.Response:
    """An error in the envelope clients know from POST /prompt."""
    error = {"type": kind, "message": message, "details": hint, "extra_info": {}}
    return web.json_response({"error": error, "node_errors": {}}, status=status, headers=headers)


def say(value: Any, status: int = 200) -> web.Response:
    """A JSON reply, which like the peer's may hold NaN and Infinity as Python writes them."""
    return web.json_response(value, status=status)


def json_text(text: bytes, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON reply from text that is ready."""
    return web.Response(body=text, content_type="application/json", charset="utf-8", headers=headers)


def empty(status: int = 200) -> web.Response:
    """A reply without body and content type."""
    return web.Response(status=status)


async def read_json(request: web.Request, *, default: Any = None) -> Any:
    """The JSON body; `default` for an empty one when given. Raises GraphError (bad_json …) otherwise."""
    try:
        data = await asyncio.wait_for(request.read(), _BODY_TIMEOUT_S)
    except asyncio.TimeoutError:
        raise GraphError("The body did not arrive in time.", code="body_too_slow") from None
    if not data and default is not None:
        return default
    return await asyncio.to_thread(load_json, data) if len(data) > _LARGE_BODY_BYTES else load_json(data)


def query_int(request: web.Request, name: str, default: int | None = None) -> int | None:
    """An integer of the query. Raises GraphError (bad_request) for other text."""
    text = request.query.get(name)
    if text is None:
        return default
    try:
        value = int(text) if len(text) <= 20 else None
    except ValueError:
        value = None
    if value is None or abs(value) > _MAX_INT:
        raise GraphError(f"{name} must be an integer.", code="bad_request", input=name)
    return value
