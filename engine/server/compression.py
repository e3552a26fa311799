"""Compressed answers, when the server was started with --enable-compress-response-body."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

__all__ = ["compressed"]

_KINDS = frozenset({"application/json", "text/plain"})


@web.middleware
async def compressed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Compress JSON and plain text with gzip for clients that take it. Files and event streams go out as they are."""
    response = await handler(request)
    if isinstance(response, web.Response) and not response.prepared and response.content_type in _KINDS:
        response.headers["Vary"] = "Accept-Encoding"
        if "gzip" in request.headers.get("Accept-Encoding", "").lower():
            response.enable_compression(web.ContentCoding.gzip)
    return response
