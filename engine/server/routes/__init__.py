"""The native HTTP API under /api/v1: one resource per file."""

from __future__ import annotations

from aiohttp import web

from engine.server.openapi import describe
from engine.server.operations import Call, Operation, Reply, aiohttp_handler
from engine.server.replies import json_reply
from engine.server.routes import assets, catalog, downloads, folders, forecast, jobs, models, queue, system, workflows
from engine.server.routes.schemas import SCHEMAS
from engine.server.security import NATIVE_PREFIX

__all__ = ["API_VERSION", "OPERATIONS", "add_native_routes", "description"]

API_VERSION = "1.0.0"


async def get_description(call: Call) -> web.StreamResponse:
    """The OpenAPI document."""
    return json_reply(description())


OPERATIONS: tuple[Operation, ...] = (
    *jobs.OPERATIONS,
    *queue.OPERATIONS,
    *forecast.OPERATIONS,
    *assets.OPERATIONS,
    *folders.OPERATIONS,
    *catalog.OPERATIONS,
    *workflows.OPERATIONS,
    *models.OPERATIONS,
    *downloads.OPERATIONS,
    *system.OPERATIONS,
    Operation(
        "GET",
        "/openapi.json",
        get_description,
        "This description",
        {200: Reply("OpenAPI 3.1.", {"type": "object"})},
        tags=("system",),
    ),
)


def description() -> dict[str, object]:
    """The OpenAPI document of all native operations."""
    return describe(OPERATIONS, SCHEMAS, NATIVE_PREFIX, API_VERSION)


def add_native_routes(app: web.Application) -> None:
    """Mount every operation."""
    for operation in OPERATIONS:
        path = NATIVE_PREFIX + operation.path
        if operation.method == "GET":
            app.router.add_get(path, aiohttp_handler(operation))
        else:
            app.router.add_route(operation.method, path, aiohttp_handler(operation))
