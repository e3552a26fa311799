"""/ws."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from engine.compat.comfyui.server.broadcast import BROADCASTER, ClientSocket
from engine.compat.comfyui.server.requests import SERVICES, Handler
from engine.core.ids import new_client_id
from engine.server.services import Services

__all__ = ["ROUTES", "server_features"]

_MAX_MESSAGE_BYTES = 1 << 20
_MAX_CLIENT_ID = 200


def server_features(services: Services) -> dict[str, Any]:
    """What this server announces."""
    return {"supports_preview_metadata": True, "max_upload_size": services.settings.max_upload_bytes}


async def open_socket(request: web.Request) -> web.StreamResponse:
    """A client's connection: a greeting, then events until it goes away."""
    socket = web.WebSocketResponse(max_msg_size=_MAX_MESSAGE_BYTES, heartbeat=30.0)
    if not socket.can_prepare(request).ok:
        return web.Response(status=400, text='No WebSocket UPGRADE hdr: None\n Can "Upgrade" only to "WebSocket".')
    await socket.prepare(request)
    services, broadcaster = request.app[SERVICES], request.app[BROADCASTER]
    client = ClientSocket(request.query.get("clientId", "")[:_MAX_CLIENT_ID] or new_client_id(), socket)
    broadcaster.join(client)
    writer = asyncio.create_task(client.write())
    has_spoken = False

    def hear(text: str) -> None:
        nonlocal has_spoken
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            return
        if has_spoken or not isinstance(message, dict):
            return
        has_spoken = True
        if message.get("type") == "feature_flags" and isinstance(message.get("data"), dict):
            client.features = message["data"]
            client.send(json.dumps({"type": "feature_flags", "data": server_features(services)}))

    try:
        await client.read(hear)
    finally:
        broadcaster.leave(client)
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)
    return socket


ROUTES: tuple[tuple[str, str, Handler], ...] = (("GET", "/ws", open_socket),)
