"""/queue: its counts, pausing, emptying; and forgetting the history."""

from __future__ import annotations

from aiohttp import web

from engine.server.operations import Call, Operation, Reply
from engine.server.replies import json_reply
from engine.server.routes.schemas import ref

__all__ = ["OPERATIONS"]


def _queue(call: Call) -> web.Response:
    counts = call.services.engine.counts()
    return json_reply({"pending": counts.pending, "running": counts.running, "paused": counts.is_paused})


async def get_queue(call: Call) -> web.StreamResponse:
    """Counts."""
    return _queue(call)


async def pause_queue(call: Call) -> web.StreamResponse:
    """Start no further jobs."""
    await call.services.engine.pause()
    return _queue(call)


async def resume_queue(call: Call) -> web.StreamResponse:
    """Start jobs again."""
    await call.services.engine.resume()
    return _queue(call)


async def clear_queue(call: Call) -> web.StreamResponse:
    """Cancel all waiting jobs."""
    return json_reply({"jobs": await call.services.engine.cancel_queued()})


async def clear_history(call: Call) -> web.StreamResponse:
    """Forget all ended jobs."""
    return json_reply({"jobs": await call.services.engine.delete_history()})


_TAGS = ("queue",)
_COUNTS = {200: Reply("The queue now.", ref("Queue"))}

OPERATIONS = (
    Operation("GET", "/queue", get_queue, "Counts of the queue", _COUNTS, tags=_TAGS),
    Operation("POST", "/queue/pause", pause_queue, "Start no further jobs, also after a restart", _COUNTS, tags=_TAGS),
    Operation("POST", "/queue/resume", resume_queue, "Start jobs again", _COUNTS, tags=_TAGS),
    Operation(
        "POST", "/queue/clear", clear_queue, "Cancel all waiting jobs", {200: Reply("Cancelled ids.", ref("Ids"))},
        tags=_TAGS,
    ),
    Operation(
        "DELETE", "/history", clear_history, "Forget all ended jobs; files stay",
        {200: Reply("Forgotten ids.", ref("Ids"))}, tags=_TAGS,
    ),
)  # fmt: skip
