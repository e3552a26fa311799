"""Requests that no client library would send."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

__all__ = ["raw_request", "raw_status"]


async def raw_request(url: str, head: str, body: bytes = b"", timeout_s: float = 60.0) -> bytes:
    """Send `head` (lines without the blank one) and `body`; everything that comes back until the server closes."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)
        await writer.drain()
        return await asyncio.wait_for(reader.read(1 << 20), timeout_s)
    except ConnectionError:
        return b""
    finally:
        writer.close()
        try:
            await writer.wait_closed()
        except ConnectionError:
            pass


async def raw_status(url: str, head: str, body: bytes = b"") -> int:
    """The status of a raw request; 0 when the connection was closed without an answer."""
    answer = await raw_request(url, head, body)
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0
