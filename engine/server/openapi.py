"""The OpenAPI 3.1 description, generated from the operations that are mounted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from engine.server.operations import Operation, Parameter, Reply

__all__ = ["describe", "openapi_path"]

_ERROR_REF = {"$ref": "#/components/schemas/Error"}
_REFUSALS: Mapping[int, str] = {
    400: "The request does not fit this description.",
    401: "A token is required.",
    403: "The request comes from another site, or names a host this server does not go by.",
    429: "Too many wrong tokens from this address.",
}
_BODY_REFUSALS: Mapping[int, str] = {
    408: "The body did not arrive in time.",
    413: "The body is larger than allowed.",
    415: "The body is not of the documented type.",
}


def openapi_path(path: str) -> str:
    """An aiohttp path as OpenAPI writes it: patterns of parameters removed."""
    return re.sub(r"\{(\w+):[^}]*\}", r"{\1}", path)


def describe(operations: Iterable[Operation], schemas: Mapping[str, Any], prefix: str, version: str) -> dict[str, Any]:
    """The whole document. `schemas` are the named components."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        item = paths.setdefault(prefix + openapi_path(operation.path), {})
        item[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Atelier",
            "version": version,
            "description": "Queue graphs, follow jobs, read assets. Errors carry a stable code, a sentence and a hint.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": dict(schemas),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    refusals = {**_REFUSALS, **(_BODY_REFUSALS if operation.body is not None or operation.multipart else {})}
    responses: dict[str, Any] = {
        str(status): {"description": text, "content": {"application/json": {"schema": _ERROR_REF}}}
        for status, text in refusals.items()
    }
    for status, reply in operation.replies.items():
        responses[str(status)] = _reply(reply)
    record: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": list(operation.tags),
        "responses": dict(sorted(responses.items())),
    }
    if operation.parameters:
        record["parameters"] = [_parameter(item) for item in operation.parameters]
    if operation.body is not None:
        content = {"application/json": {"schema": dict(operation.body)}}
        record["requestBody"] = {"required": not operation.body_is_optional, "content": content}
    elif operation.multipart:
        form = {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}, "required": ["file"]}
        record["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    return record


def _parameter(item: Parameter) -> dict[str, Any]:
    schema = dict(item.schema)
    if item.default is not None:
        schema["default"] = item.default
    return {
        "name": item.name,
        "in": item.place,
        "required": item.place == "path",
        "description": item.description,
        "schema": schema,
    }


def _reply(reply: Reply) -> dict[str, Any]:
    record: dict[str, Any] = {"description": reply.description}
    if reply.schema is not None:
        record["content"] = {reply.media_type: {"schema": dict(reply.schema)}}
    elif reply.media_type != "application/json":
        record["content"] = {reply.media_type: {}}
    return record
