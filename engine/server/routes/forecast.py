"""/forecast: what a graph would do if it were queued now."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from engine.core.ids import NodeId
from engine.server.failures import NotReady
from engine.server.operations import Call, Operation, Reply, invalid
from engine.server.replies import json_reply
from engine.server.routes.schemas import ref

__all__ = ["OPERATIONS"]

_NODE_NAME = {"type": "string", "minLength": 1, "maxLength": 200}
_BODY = {
    "type": "object",
    "properties": {
        "prompt": {"type": "object"},
        "workflow": {"type": "object"},
        "targets": {"type": "array", "items": _NODE_NAME, "maxItems": 10_000},
    },
    "additionalProperties": False,
}


async def forecast_graph(call: Call) -> web.StreamResponse:
    """What is cached, what would run, why, and how long that took before."""
    body: dict[str, Any] = call.body
    if ("prompt" in body) == ("workflow" in body):
        raise invalid("", "must have either prompt or workflow")
    engine, workers = call.services.engine, call.services.workers
    targets = body.get("targets")
    document = body.get("prompt") or body.get("workflow") or {}
    checked = await engine.validate(document, None if targets is None else tuple(map(NodeId, targets)))
    answer: dict[str, Any] = {"can_run": bool(checked.targets), "cached": [], "runs": [], "seconds": 0.0}
    if checked.targets:
        found = await workers.forecast(dict(checked.prompt), list(checked.targets))
        if found is None:
            raise NotReady("No worker can say what is cached now.", hint="Try again when one is up.")
        times = [run["seconds"] for run in found.runs]
        answer.update(cached=found.cached, runs=found.runs, seconds=None if None in times else round(sum(times), 3))
    return json_reply(answer)


OPERATIONS = (
    Operation(
        "POST", "/forecast", forecast_graph, "What a graph would do if it were queued now", body=_BODY, tags=("jobs",),
        replies={
            200: Reply("What the first worker would do; nothing is started.", ref("Forecast")),
            503: Reply("No worker is up.", ref("Error")),
        },
    ),
)  # fmt: skip
