"""/system: is it alive, is it ready, what does it run on; and freeing memory."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from aiohttp import web

from engine.server.operations import Call, Operation, Parameter, Reply
from engine.server.replies import json_reply
from engine.server.routes.schemas import array_of, ref
from engine.server.system import describe_installation

__all__ = ["OPERATIONS"]


async def get_health(call: Call) -> web.StreamResponse:
    """The server answers."""
    return json_reply({"status": "ok"})


async def get_readiness(call: Call) -> web.StreamResponse:
    """200 when a job would start now, 503 while it would wait for a worker."""
    services = call.services
    is_ready = services.engine.is_ready
    facts = {"ready": is_ready, "catalog": services.catalog.is_known, "workers": services.workers.num_ready}
    return json_reply(facts, 200 if is_ready else 503)


async def get_stats(call: Call) -> web.StreamResponse:
    """Machine, devices, workers, queue."""
    return json_reply(await call.services.engine.system_stats())


async def get_installation(call: Call) -> web.StreamResponse:
    """Versions, folders, SQLite, packs."""
    return json_reply(await asyncio.to_thread(describe_installation, call.services))


async def get_log(call: Call) -> web.StreamResponse:
    """The newest log lines."""
    return json_reply([asdict(entry) for entry in call.services.logs.entries()[-call.params["limit"] :]])


async def free_memory(call: Call) -> web.StreamResponse:
    """Ask the workers to free memory after their running jobs."""
    body = call.body or {}
    await call.services.engine.free(
        unload_models=body.get("unload_models", False), drop_cache=body.get("drop_cache", False)
    )
    return web.Response(status=204)


_TAGS = ("system",)
_FREE_BODY = {
    "type": "object",
    "properties": {"unload_models": {"type": "boolean"}, "drop_cache": {"type": "boolean"}},
    "additionalProperties": False,
}

OPERATIONS = (
    Operation("GET", "/system/health", get_health, "Alive?", {200: Reply("Yes.", ref("Health"))}, tags=_TAGS),
    Operation(
        "GET", "/system/ready", get_readiness, "Would a job start now?", tags=_TAGS,
        replies={200: Reply("Yes.", ref("Ready")), 503: Reply("Not yet.", ref("Ready"))},
    ),
    Operation(
        "GET", "/system/stats", get_stats, "Machine, devices, workers, queue",
        {200: Reply("Figures.", ref("Stats"))}, tags=_TAGS,
    ),
    Operation(
        "GET", "/system/installation", get_installation, "Versions, folders, SQLite, packs",
        {200: Reply("Facts.", {"type": "object"})}, tags=_TAGS,
    ),
    Operation(
        "GET", "/system/log", get_log, "The newest log lines", tags=_TAGS,
        parameters=(
            Parameter("limit", {"type": "integer", "minimum": 1, "maximum": 3000}, "How many.", default=200),
        ),
        replies={200: Reply("Lines, oldest first.", array_of(ref("LogLine")))},
    ),
    Operation(
        "POST", "/system/free", free_memory, "Free memory", body=_FREE_BODY, body_is_optional=True, tags=_TAGS,
        replies={204: Reply("Asked for.")},
    ),
)  # fmt: skip
