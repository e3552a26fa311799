"""Server-sent events: a job's log from any number on, then live; and what else is followed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator

from aiohttp import web

from engine.core.ids import JobId
from engine.server.operations import Call
from engine.server.records import EventRecord

__all__ = ["send_events", "stream"]

_KEEP_ALIVE_S = 15.0


async def send_events(call: Call, job: JobId, after: int) -> web.StreamResponse:
    """Stream the events after number `after`; ends with the job. Raises NotFoundError before anything is sent."""
    await call.services.jobs.get(job, with_documents=False)
    return await stream(call, call.services.engine.follow(job, after))


async def stream(call: Call, events: AsyncGenerator[EventRecord, None]) -> web.StreamResponse:
    """Send events for as long as there are any and somebody listens; closes them."""
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
    await response.prepare(call.request)
    pending: asyncio.Future[EventRecord] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(anext_of(events))
            done, _ = await asyncio.wait({pending}, timeout=_KEEP_ALIVE_S)
            if not done:
                await response.write(b": still here\n\n")
                continue
            try:
                event = pending.result()
            except StopAsyncIteration:
                break
            pending = None
            await response.write(_frame(event))
    except ConnectionError:
        pass  # the client left; it can come back with its last number
    finally:
        if pending is not None:
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)
        await events.aclose()
    return response


async def anext_of(events: object) -> EventRecord:
    """The next event (a coroutine, which `ensure_future` needs). Raises StopAsyncIteration."""
    return await events.__anext__()  # type: ignore[attr-defined, no-any-return]


def _frame(event: EventRecord) -> bytes:
    data = json.dumps(
        {"job": event.job, "seq": event.seq, "kind": event.kind, "data": event.data, "time_s": event.time_s}
    )
    number = f"id: {event.seq}\n" if event.seq else ""
    return f"{number}event: {event.kind}\ndata: {data}\n\n".encode()
