"""Routes and job handlers of packs: forwarded to a worker, where the code of packs lives."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from engine.compat.comfyui.server.requests import refusal
from engine.core.errors import GraphError
from engine.graph.json_text import load_json
from engine.protocol.messages import PackReply, PackReport, PackRoute
from engine.server.failures import NotReady
from engine.server.pages import EDITOR_PAGES
from engine.server.security import NATIVE_PREFIX
from engine.server.services import Services

__all__ = ["PACK_ROUTES", "PackRoutes", "changed_by_packs", "forward_to_packs"]

_LOG = logging.getLogger(__name__)
_MAX_CALLS = 16
_BODY_TIMEOUT_S = 120.0
_ANSWER_TIMEOUT_S = 120.0
_CHANGE_TIMEOUT_S = 10.0
_READY_WAIT_S = 30.0
_RETRY = {"Retry-After": "2"}
_PLACEHOLDER = re.compile(r"\{[^{}]*(\{[^{}]*\}[^{}]*)*\}")
_NOT_SENT_BACK = frozenset(
    ("connection", "content-length", "date", "keep-alive", "server", "set-cookie", "te", "trailer",
     "transfer-encoding", "upgrade")
)  # fmt: skip
"""Headers about the connection between worker and handler. Cookies would land beside the one that lets clients in."""


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A route that is mounted here. `path` is a whole path or a compiled pattern of one."""

    methods: frozenset[str]
    path: str | re.Pattern[str]

    def covers(self, method: str, path: str) -> bool:
        """Whether it takes requests for `path` that the other route would get."""
        if not (self.methods & {method, "*"} or method == "*"):
            return False
        return path == self.path if isinstance(self.path, str) else self.path.fullmatch(path) is not None


class PackRoutes:
    """Which request is for which pack, by the newest reports; forwards requests to a worker."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._own: tuple[_Pattern, ...] = ()
        self._has_packs = False
        self._table = web.UrlDispatcher()
        self._calls = asyncio.Semaphore(_MAX_CALLS)

    def follow(self, app: web.Application) -> None:
        """Take the routes of `app` as given, and look at the reports of packs from now on."""
        self._own = tuple(_mounted(app))
        folders = self._services.settings.folders.custom_nodes
        self._has_packs = any(folder.is_dir() and any(folder.iterdir()) for folder in folders)
        self._services.catalog.review_with(self._review)

    def _review(self, packs: tuple[PackReport, ...]) -> tuple[PackReport, ...]:
        """Make the table anew; the reports with warnings about routes that are not served."""
        table = web.UrlDispatcher()
        reviewed = []
        for pack in packs:
            refused = [text for route in pack.routes if (text := self._add(table, pack.name, route))]
            for text in refused:
                _LOG.warning("Pack %s: %s", pack.name, text)
            reviewed.append(replace(pack, warnings=[*pack.warnings, *refused]) if refused else pack)
        self._table = table
        return tuple(reviewed)

    def _add(self, table: web.UrlDispatcher, pack: str, route: PackRoute) -> str:
        """Enter a route, with and without `/api`; why it is not served, or ""."""
        sample = _PLACEHOLDER.sub("x", route.path)
        if sample.startswith(NATIVE_PREFIX) or any(own.covers(route.method, sample) for own in self._own):
            return f"The route {route.method} {route.path} is not served: the path is the server's own."
        for prefix in ("", "/api"):
            if (prefix + route.path).startswith(NATIVE_PREFIX):
                continue
            add = table.add_get if route.method == "GET" else _adder(table, route.method)
            try:
                add(prefix + route.path, self._forwarder(pack, prefix))
            except (ValueError, RuntimeError, AssertionError) as error:
                return f"The route {route.method} {route.path} is not served: {error}."
        return ""

    def _forwarder(self, pack: str, prefix: str) -> Handler:
        async def forward(request: web.Request) -> web.StreamResponse:
            return await self._forward(request, pack, prefix)

        return forward

    async def find(self, request: web.Request) -> Handler | None:
        """What answers a request that no route of the server takes; None when no pack does either."""
        match = await self._table.resolve(request)
        return match.handler if match.http_exception is None else None

    def may_be_unknown(self, request: web.Request) -> bool:
        """Whether a pack may turn out to answer: before the first catalog nobody knows, unless there are no packs."""
        is_known = self._services.catalog.is_known or not self._has_packs
        return not is_known and not request.path.startswith(NATIVE_PREFIX)

    async def _forward(self, request: web.Request, pack: str, prefix: str) -> web.StreamResponse:
        if "Upgrade" in request.headers:
            return refusal(501, "not_served", f"{pack} answers with a socket; sockets of packs are not served.")
        try:
            body = await asyncio.wait_for(request.read(), _BODY_TIMEOUT_S)
        except asyncio.TimeoutError:
            raise GraphError("The body did not arrive in time.", code="body_too_slow") from None
        head = {
            "method": request.method,
            "target": request.rel_url.raw_path_qs[len(prefix) :],
            "headers": [list(pair) for pair in request.headers.items()],
            "remote": request.remote or "",
        }
        workers = self._services.workers
        reply = None
        if await workers.wait_ready(_READY_WAIT_S):
            async with self._calls:
                reply = await workers.call_pack("request", head, body, _ANSWER_TIMEOUT_S)
        if reply is None:
            return refusal(
                503, "not_ready", f"{pack} cannot answer: its worker is not ready.", hint="Try again in a moment.",
                headers=_RETRY,
            )  # fmt: skip
        return _response(reply)


PACK_ROUTES: web.AppKey[PackRoutes] = web.AppKey("comfyui_pack_routes", PackRoutes)


def forward_to_packs() -> Middleware:
    """The middleware that gives packs the requests which no route of the server takes."""

    @web.middleware
    async def forward(request: web.Request, handler: Handler) -> web.StreamResponse:
        match = request.match_info
        if match.http_exception is not None or match.route.name == EDITOR_PAGES:
            routes = request.app[PACK_ROUTES]
            found = await routes.find(request)
            if found is not None:
                return await found(request)
            if match.http_exception is not None and routes.may_be_unknown(request):
                return refusal(503, "not_ready", "No worker has said yet what packs answer.", headers=_RETRY)
        return await handler(request)

    return forward


async def changed_by_packs(services: Services, body: dict[str, Any]) -> dict[str, Any]:
    """The JSON of POST /prompt as the packs that asked for it leave it. Raises NotReady when no worker can ask them."""
    if not any(pack.changes_submissions for pack in services.catalog.packs):
        return body
    reply = None
    if await services.workers.wait_ready(_READY_WAIT_S):
        text = (await asyncio.to_thread(json.dumps, body)).encode()
        reply = await services.workers.call_pack("submission", {}, text, _CHANGE_TIMEOUT_S)
    if reply is None:
        raise NotReady("No worker has let the packs look at the job.", hint="Try again in a moment.")
    for problem in reply.head.get("problems", ()):
        _LOG.warning("%s", problem)
    if not reply.body:
        return body
    changed: dict[str, Any] = await asyncio.to_thread(load_json, reply.body)
    return changed


def _mounted(app: web.Application) -> Iterable[_Pattern]:
    for resource in app.router.resources():
        routes = [route for route in resource if route.name != EDITOR_PAGES]
        info = resource.get_info()
        path = info.get("path") or info.get("pattern")
        if routes and path is not None:
            yield _Pattern(frozenset(route.method for route in routes), path)


def _adder(table: web.UrlDispatcher, method: str) -> Any:
    return lambda path, handler: table.add_route(method, path, handler)


def _response(reply: PackReply) -> web.Response:
    response = web.Response(status=int(reply.head["status"]), body=reply.body)
    for name, value in reply.head.get("headers", ()):
        if name.lower() == "content-type":
            response.headers[name] = value
        elif name.lower() not in _NOT_SENT_BACK:
            response.headers.add(name, value)
    return response
