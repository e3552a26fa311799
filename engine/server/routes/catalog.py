"""/catalog: the node types there are; and checking a graph against them without queueing it."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from engine.core.errors import NotFoundError
from engine.core.ids import NodeId
from engine.graph.schema import FileChoices, NodeSpec, spec_to_json
from engine.server.operations import Call, Operation, Parameter, Reply, invalid
from engine.server.replies import json_reply
from engine.server.routes.schemas import array_of, ref

__all__ = ["OPERATIONS"]

_NODE_NAME = {"type": "string", "minLength": 1, "maxLength": 200}


async def get_catalog(call: Call) -> web.StreamResponse:
    """All node specs."""
    catalog = call.services.catalog
    etag = f'"{catalog.digest}"'
    if call.request.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers={"ETag": etag})
    nodes = {name: spec_to_json(catalog.current[name]) for name in catalog.current}
    return json_reply({"digest": catalog.digest, "nodes": nodes}, headers={"ETag": etag})


async def get_node_type(call: Call) -> web.StreamResponse:
    """One node spec."""
    return json_reply(spec_to_json(_spec(call)))


async def list_choices(call: Call) -> web.StreamResponse:
    """The files that the inputs of a node type offer now, by input."""
    lister = call.services.catalog.lister.remembering()
    wanted = {item.name: item.choices for item in _spec(call).inputs if isinstance(item.choices, FileChoices)}
    found = await asyncio.to_thread(lambda: {name: lister(choices) for name, choices in wanted.items()})
    return json_reply(found)


def _spec(call: Call) -> NodeSpec:
    name = call.params["name"]
    spec = call.services.catalog.current.get(name)
    if spec is None:
        nearest = call.services.catalog.current.nearest(name)
        raise NotFoundError(
            f"There is no node type {name[:100]!r}.", hint=f"Did you mean {nearest!r}?" if nearest else ""
        )
    return spec


async def list_packs(call: Call) -> web.StreamResponse:
    """How the node packs loaded."""
    packs = [
        {
            "name": pack.name,
            "node_types": list(pack.node_types),
            "seconds": pack.seconds,
            "error": pack.error,
            "warnings": list(pack.warnings),
            "routes": [f"{route.method} {route.path}" for route in pack.routes],
        }
        for pack in call.services.catalog.packs
    ]
    return json_reply(packs)


async def validate_graph(call: Call) -> web.StreamResponse:
    """All complaints about a document, as data."""
    body: dict[str, Any] = call.body
    if ("prompt" in body) == ("workflow" in body):
        raise invalid("", "must have either prompt or workflow")
    targets = body.get("targets")
    checked = await call.services.engine.validate(
        body.get("prompt") or body.get("workflow") or {}, None if targets is None else tuple(map(NodeId, targets))
    )
    return json_reply(
        {
            "can_run": bool(checked.targets),
            "targets": list(checked.targets),
            "complaints": [complaint.to_json() for complaint in checked.complaints],
            "num_nodes": len(checked.graph),
        }
    )


_TAGS = ("catalog",)
_VALIDATE_BODY = {
    "type": "object",
    "properties": {
        "prompt": {"type": "object"},
        "workflow": {"type": "object"},
        "targets": {"type": "array", "items": _NODE_NAME, "maxItems": 10_000},
    },
    "additionalProperties": False,
}

OPERATIONS = (
    Operation(
        "GET", "/catalog", get_catalog, "All node types", tags=_TAGS,
        replies={200: Reply("Specs by name.", {"type": "object"}), 304: Reply("The client has them.")},
    ),
    Operation(
        "GET", "/catalog/packs", list_packs, "Node packs and how they loaded", tags=_TAGS,
        replies={200: Reply("Packs.", array_of({"type": "object"}))},
    ),
    Operation(
        "GET", "/catalog/nodes/{name}", get_node_type, "One node type", tags=_TAGS,
        parameters=(Parameter("name", {"type": "string", "maxLength": 200}, "Its name.", "path"),),
        replies={
            200: Reply("The spec.", {"type": "object"}),
            404: Reply("There is no such node type.", ref("Error")),
        },
    ),
    Operation(
        "GET", "/catalog/nodes/{name}/choices", list_choices, "The files a node type's inputs offer now", tags=_TAGS,
        parameters=(Parameter("name", {"type": "string", "maxLength": 200}, "Its name.", "path"),),
        replies={
            200: Reply("Names by input.", {"type": "object"}),
            404: Reply("There is no such node type.", ref("Error")),
        },
    ),
    Operation(
        "POST", "/validate", validate_graph, "Check a graph without queueing it", body=_VALIDATE_BODY, tags=_TAGS,
        replies={
            200: Reply("The findings.", ref("Validation")),
            503: Reply("No worker has published its nodes yet.", ref("Error")),
        },
    ),
)  # fmt: skip
