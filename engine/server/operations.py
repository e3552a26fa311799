"""Native API operations: a handler together with its description. The description is what is checked and published."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from engine.core.errors import AtelierError, GraphError
from engine.graph.json_text import load_json
from engine.server.failures import disk_failure
from engine.server.replies import error_reply
from engine.server.schema_check import find_problem
from engine.server.services import Services

__all__ = ["SERVICES", "Call", "Operation", "Parameter", "Reply", "aiohttp_handler", "invalid"]

SERVICES: web.AppKey[Services] = web.AppKey("services", Services)
_BODY_TIMEOUT_S = 30.0
_MAX_JSON_BYTES = 32 << 20
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A path, query or header parameter. Those without `default` are required when `place` is path."""

    name: str
    schema: Mapping[str, Any]
    description: str
    place: str = "query"
    default: Any = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A documented response: JSON by `schema`, another `media_type`, or nothing."""

    description: str
    schema: Mapping[str, Any] | None = None
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way through a handler. `body` is the checked JSON body, or None."""

    request: web.Request
    services: Services
    params: Mapping[str, Any]
    body: Any


@dataclass(frozen=True, slots=True)
class Operation:
    """Method, path (below /api/v1), handler and description of one operation.

    `body` is the schema of the JSON body (None: there is none); `multipart`: the body is a form with a file instead.
    """

    method: str
    path: str
    handler: Callable[[Call], Awaitable[web.StreamResponse]]
    summary: str
    replies: Mapping[int, Reply]
    parameters: Sequence[Parameter] = ()
    body: Mapping[str, Any] | None = None
    body_is_optional: bool = False
    multipart: bool = False
    tags: Sequence[str] = field(default_factory=tuple)

    @property
    def id(self) -> str:
        """The operationId: the handler's name."""
        return self.handler.__name__


def invalid(where: str, problem: str) -> GraphError:
    """The error for a request that does not fit the description."""
    name = where or "The body"
    return GraphError(f"{name} {problem}.", code="bad_request", hint="See /api/v1/openapi.json.", input=where or None)


def aiohttp_handler(operation: Operation) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The handler to mount: reads and checks the request, calls the operation, turns errors into replies."""

    @functools.wraps(operation.handler)
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            params = _read_parameters(request, operation.parameters)
            body = None if operation.body is None else await _read_body(request, operation)
            return await operation.handler(Call(request, request.app[SERVICES], params, body))
        except AtelierError as error:
            return error_reply(error)
        except OSError as error:
            failure = disk_failure(error)
            if failure is None:
                raise
            return error_reply(failure)

    return handle


def _read_parameters(request: web.Request, parameters: Sequence[Parameter]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for item in parameters:
        if item.place == "path":
            text = request.match_info[item.name]
        elif item.place == "header":
            text = request.headers.get(item.name)
        else:
            text = request.query.get(item.name)
        if text is None:
            values[item.name] = item.default
            continue
        value = _parse(text, item.schema.get("type"))
        problem = find_problem(value, item.schema, item.name)
        if problem is not None:
            raise invalid(*problem)
        values[item.name] = value
    return values


def _parse(text: str, kind: Any) -> Any:
    """A parameter's text as its type; text that does not parse stays text and fails the check."""
    if kind == "boolean":
        return _BOOLEANS.get(text.lower(), text)
    if kind in ("integer", "number") and len(text) <= 40:
        try:
            return int(text) if kind == "integer" else float(text)
        except ValueError:
            return text
    return text


async def _read_body(request: web.Request, operation: Operation) -> Any:
    too_large = GraphError(f"The body is larger than {_MAX_JSON_BYTES} bytes.", code="json_too_large")
    if (request.content_length or 0) > _MAX_JSON_BYTES:
        raise too_large
    try:
        data = await asyncio.wait_for(request.read(), _BODY_TIMEOUT_S)
    except asyncio.TimeoutError:
        raise GraphError("The body did not arrive in time.", code="body_too_slow") from None
    if len(data) > _MAX_JSON_BYTES:
        raise too_large
    if not data and operation.body_is_optional:
        return None
    value = await asyncio.to_thread(load_json, data) if len(data) > 1 << 16 else load_json(data)
    assert operation.body is not None
    problem = find_problem(value, operation.body)
    if problem is not None:
        raise invalid(*problem)
    return value
