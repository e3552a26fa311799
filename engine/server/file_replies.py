"""Sends a file that is already open and checked: ranges, ETag, HEAD; inline only if its content is a known medium."""

from __future__ import annotations

import asyncio
import os
import re
from typing import BinaryIO
from urllib.parse import quote

from aiohttp import web

from engine.server.media import sniff
from engine.server.security import FILE_POLICY

__all__ = ["content_disposition", "data_reply", "file_reply"]

_CHUNK_BYTES = 256 << 10
_RANGE = re.compile(r"^bytes=(\d{0,18})-(\d{0,18})$")
_UNSAFE = re.compile(r"[^A-Za-z0-9._ \-()\[\]]")


def content_disposition(filename: str, *, inline: bool) -> str:
    """The header for a file name of any characters; nothing in it can end the header or the quoted string."""
    plain = _UNSAFE.sub("_", filename)
    kind = "inline" if inline else "attachment"
    if plain == filename:
        return f'{kind}; filename="{plain}"'
    encoded = quote(filename.encode("utf-8", "replace"), safe="")
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


def _headers(kind: str | None, filename: str) -> dict[str, str]:
    return {
        "Content-Type": kind or "application/octet-stream",
        "Content-Disposition": content_disposition(filename, inline=kind is not None),
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": FILE_POLICY,
    }


def data_reply(data: bytes, filename: str, *, cache: str = "no-cache") -> web.Response:
    """Bytes made on the spot (thumbnails), under the same rules."""
    return web.Response(body=data, headers={**_headers(sniff(data[:32]), filename), "Cache-Control": cache})


async def file_reply(request: web.Request, stream: BinaryIO, filename: str) -> web.StreamResponse:
    """Send an open regular file and close it.

    Answers 200, 206 for one byte range, 304 when the client has it, 416 for a range beyond the end. HEAD sends no body.
    """
    try:
        facts = os.fstat(stream.fileno())
        size = facts.st_size
        etag = f'"{facts.st_mtime_ns:x}-{size:x}"'
        headers = _headers(sniff(stream.read(32)), filename)
        headers.update({"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": "no-cache"})
        if etag in (part.strip() for part in request.headers.get("If-None-Match", "").split(",")):
            return web.Response(status=304, headers={"ETag": etag})
        span = _span(request, etag, size)
        if span is None:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{size}"})
        start, end, is_partial = span
        if is_partial:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        headers["Content-Length"] = str(end - start)
        response = web.StreamResponse(status=206 if is_partial else 200, headers=headers)
        await response.prepare(request)
        if request.method != "HEAD":
            await _send(response, stream, start, end)
        await response.write_eof()
        return response
    finally:
        stream.close()


def _span(request: web.Request, etag: str, size: int) -> tuple[int, int, bool] | None:
    """(start, end, whether partial) of what to send; None for an unsatisfiable range. Several ranges: everything."""
    match = _RANGE.match(request.headers.get("Range", ""))
    if match is None or match.groups() == ("", "") or request.headers.get("If-Range", etag) != etag:
        return 0, size, False
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
        return (start, end, True) if int(last) and size else None
    start = int(first)
    end = min(size, int(last) + 1) if last else size
    if start >= size or (last and int(last) < start):
        return None
    return start, end, True


async def _send(response: web.StreamResponse, stream: BinaryIO, start: int, end: int) -> None:
    stream.seek(start)
    while start < end:
        chunk = await asyncio.to_thread(stream.read, min(_CHUNK_BYTES, end - start))
        if not chunk:
            break  # the file shrank meanwhile; the client sees a short body
        await response.write(chunk)
        start += len(chunk)
