"""/downloads: models that people want from other servers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import asdict

from aiohttp import web

from engine.core.ids import JobId
from engine.server.downloads import DOWNLOAD, Wish
from engine.server.feed import FeedItem
from engine.server.operations import Call, Operation, Parameter, Reply
from engine.server.records import EventRecord
from engine.server.replies import json_reply
from engine.server.routes.event_stream import stream
from engine.server.routes.schemas import array_of, ref

__all__ = ["OPERATIONS"]

_WISH = {
    "type": "object",
    "required": ["folder", "name", "url"],
    "properties": {
        "folder": {"type": "string", "minLength": 1, "maxLength": 100, "description": "Folder key, as checkpoints."},
        "name": {"type": "string", "minLength": 1, "maxLength": 500, "description": "File name, .safetensors."},
        "url": {"type": "string", "minLength": 1, "maxLength": 4000},
        "sha256": {"type": "string", "minLength": 64, "maxLength": 64, "description": "What the workflow says it is."},
    },
    "additionalProperties": False,
}
_ID = Parameter("download", {"type": "string", "maxLength": 100}, "The download's id.", "path")


def _wish(call: Call) -> Wish:
    body = call.body
    return Wish(body["folder"], body["name"], body["url"], body.get("sha256", ""))


async def offer_download(call: Call) -> web.StreamResponse:
    """What a download would bring; nothing is received."""
    return json_reply(asdict(await call.services.downloads.offer(_wish(call))))


async def start_download(call: Call) -> web.StreamResponse:
    """Begin a download."""
    return json_reply(asdict(await call.services.downloads.start(_wish(call))), 201)


async def list_downloads(call: Call) -> web.StreamResponse:
    """All downloads as JSON, or as a stream when the client asks for text/event-stream."""
    if "text/event-stream" in call.request.headers.get("Accept", ""):
        return await stream(call, _follow(call))
    return json_reply([asdict(item) for item in call.services.downloads.list()])


async def _follow(call: Call) -> AsyncGenerator[EventRecord, None]:
    """How every download is, then every change."""

    def is_download(item: FeedItem) -> bool:
        return isinstance(item, EventRecord) and item.kind == DOWNLOAD

    with call.services.feed.subscribe(is_download) as live:
        for known in call.services.downloads.list():
            yield EventRecord(JobId(""), 0, DOWNLOAD, asdict(known), call.services.clock())
        async for item in live:
            assert isinstance(item, EventRecord)  # nothing else was asked for
            yield item


async def resume_download(call: Call) -> web.StreamResponse:
    """Go on with one that failed or was stopped."""
    return json_reply(asdict(call.services.downloads.resume(call.params["download"])))


async def remove_download(call: Call) -> web.StreamResponse:
    """Stop it, and remove what came of it before it was whole."""
    await call.services.downloads.remove(call.params["download"])
    return web.Response(status=204)


_TAGS = ("downloads",)
_REFUSED = Reply("It is not downloaded: the host, the name, the digest, or no room.", ref("Error"))
_THERE = Reply("The file is there, or on its way.", ref("Error"))
_NONE = Reply("There is no such download or folder.", ref("Error"))

OPERATIONS = (
    Operation(
        "POST", "/downloads/offer", offer_download, "Ask what a download would bring", body=_WISH, tags=_TAGS,
        replies={200: Reply("The offer.", ref("Offer")), 404: _NONE, 409: _THERE, 422: _REFUSED},
    ),
    Operation(
        "POST", "/downloads", start_download, "Download a model", body=_WISH, tags=_TAGS,
        replies={201: Reply("It has begun.", ref("Download")), 404: _NONE, 409: _THERE, 422: _REFUSED},
    ),
    Operation(
        "GET", "/downloads", list_downloads, "List downloads, or follow them (text/event-stream)", tags=_TAGS,
        replies={200: Reply("Downloads, oldest first.", array_of(ref("Download")))},
    ),
    Operation(
        "POST", "/downloads/{download}/resume", resume_download, "Go on with a download", parameters=(_ID,), tags=_TAGS,
        replies={
            200: Reply("It goes on.", ref("Download")),
            404: _NONE,
            409: Reply("It has not stopped.", ref("Error")),
        },
    ),
    Operation(
        "DELETE", "/downloads/{download}", remove_download, "Cancel a download or forget it", parameters=(_ID,),
        tags=_TAGS, replies={204: Reply("Gone, with its part."), 404: _NONE},
    ),
)  # fmt: skip
