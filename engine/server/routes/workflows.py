"""/workflows: saved documents with versions; a conflict instead of a silent overwrite."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from aiohttp import web

from engine.core.errors import GraphError
from engine.server.operations import Call, Operation, Parameter, Reply
from engine.server.replies import JSON_TYPE, json_reply
from engine.server.routes.schemas import array_of, ref
from engine.server.workflows import SavedWorkflow

__all__ = ["OPERATIONS"]

_VERSION = Parameter("version", {"type": "integer", "minimum": 1, "maximum": 10**9}, "Number.", "path")
_NAME = Parameter("name", {"type": "string", "maxLength": 200}, "Name, with folders (%2F), without .json.", "path")
_IF_MATCH = Parameter("If-Match", {"type": "string", "maxLength": 200}, "Replace only this ETag.", "header")


def _plain_etag(value: str | None) -> str | None:
    return None if value is None else value.removeprefix("W/").strip().strip('"')


def _facts(facts: SavedWorkflow, status: int = 200) -> web.Response:
    return json_reply(asdict(facts), status, {"ETag": f'"{facts.etag}"'})


async def list_workflows(call: Call) -> web.StreamResponse:
    """All saved workflows."""
    found = await asyncio.to_thread(call.services.workflows.list)
    return json_reply([asdict(facts) for facts in found])


async def get_workflow(call: Call) -> web.StreamResponse:
    """The document."""
    facts, data = await asyncio.to_thread(call.services.workflows.get, call.params["name"])
    etag = f'"{facts.etag}"'
    if call.request.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers={"ETag": etag})
    return web.Response(body=data, content_type=JSON_TYPE, headers={"ETag": etag})


async def save_workflow(call: Call) -> web.StreamResponse:
    """Save a new document, or replace the one whose ETag is given."""
    none_match = call.params["If-None-Match"]
    if none_match not in (None, "*"):
        raise GraphError("If-None-Match must be *.", code="bad_request", input="If-None-Match")

    def save() -> tuple[SavedWorkflow, bool]:
        return call.services.workflows.save(
            call.params["name"],
            call.body,
            if_match=_plain_etag(call.params["If-Match"]),
            if_none_match=none_match is not None,
        )

    facts, is_new = await asyncio.to_thread(save)
    return _facts(facts, 201 if is_new else 200)


async def delete_workflow(call: Call) -> web.StreamResponse:
    """Remove the document; its versions stay readable."""
    etag = _plain_etag(call.params["If-Match"])
    await asyncio.to_thread(call.services.workflows.delete, call.params["name"], etag)
    return web.Response(status=204)


async def list_versions(call: Call) -> web.StreamResponse:
    """The kept versions."""
    found = await asyncio.to_thread(call.services.workflows.versions, call.params["name"])
    return json_reply([asdict(facts) for facts in found])


async def get_version(call: Call) -> web.StreamResponse:
    """One kept version."""
    data = await asyncio.to_thread(call.services.workflows.get_version, call.params["name"], call.params["version"])
    return web.Response(body=data, content_type=JSON_TYPE)


_TAGS = ("workflows",)
_NONE = Reply("There is no such workflow.", ref("Error"))
_CONFLICT = Reply("It is not the one the client saw; the stored ETag is in details.", ref("Error"))
_DOCUMENT = Reply("The document.", {"type": "object"})

OPERATIONS = (
    Operation(
        "GET", "/workflows", list_workflows, "List saved workflows", tags=_TAGS,
        replies={200: Reply("Facts.", array_of(ref("Workflow")))},
    ),
    Operation(
        "GET", "/workflows/{name}/versions", list_versions, "List a workflow's versions", parameters=(_NAME,),
        tags=_TAGS, replies={200: Reply("Versions, oldest first.", array_of(ref("Workflow"))), 404: _NONE},
    ),
    Operation(
        "GET", "/workflows/{name}/versions/{version}", get_version, "Read a version", tags=_TAGS,
        parameters=(_NAME, _VERSION),
        replies={200: _DOCUMENT, 404: _NONE},
    ),
    Operation(
        "GET", "/workflows/{name}", get_workflow, "Read a workflow", parameters=(_NAME,), tags=_TAGS,
        replies={200: _DOCUMENT, 304: Reply("The client has it."), 404: _NONE},
    ),
    Operation(
        "PUT", "/workflows/{name}", save_workflow, "Save a workflow", body={"type": "object"}, tags=_TAGS,
        parameters=(
            _NAME, _IF_MATCH,
            Parameter("If-None-Match", {"type": "string", "maxLength": 200}, "*: only if it is new.", "header"),
        ),
        replies={
            200: Reply("Replaced.", ref("Workflow")), 201: Reply("New.", ref("Workflow")), 412: _CONFLICT,
        },
    ),
    Operation(
        "DELETE", "/workflows/{name}", delete_workflow, "Remove a workflow", parameters=(_NAME, _IF_MATCH), tags=_TAGS,
        replies={204: Reply("Removed."), 404: _NONE, 412: _CONFLICT},
    ),
)  # fmt: skip
