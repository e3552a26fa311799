"""Sends the engine's feed to sockets in ComfyUI's form."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aiohttp import WSMsgType, web

from engine.compat.comfyui.server.event_view import JobView, Message
from engine.compat.comfyui.server.frames import metadata_preview_frame, preview_frame
from engine.compat.comfyui.server.queue_shapes import failure_data
from engine.core.errors import NotFoundError
from engine.core.ids import JobId
from engine.server.feed import FeedItem, LogEntry, PreviewPicture
from engine.server.records import EventRecord, JobRecord
from engine.server.services import Services

__all__ = ["BROADCASTER", "Broadcaster", "ClientSocket"]

_MAX_WAITING = 4096
_STATE_INTERVAL_S = 0.1
_ENDINGS = ("execution_success", "execution_error", "execution_interrupted")
_log = logging.getLogger(__name__)


class ClientSocket:
    """One connected client. Messages wait in a bounded queue, so that a slow reader delays nobody else."""

    def __init__(self, client: str, socket: web.WebSocketResponse) -> None:
        self.client = client
        self.features: Mapping[str, Any] = {}
        self.wants_logs = False
        self._socket = socket
        self._waiting: asyncio.Queue[str | bytes] = asyncio.Queue(_MAX_WAITING)
        self._closing: asyncio.Future[bool] | None = None

    def send(self, message: str | bytes) -> None:
        """Queue a text or binary frame; a client that reads too slowly is disconnected."""
        try:
            self._waiting.put_nowait(message)
        except asyncio.QueueFull:
            _log.warning("client %s reads too slowly and is disconnected", self.client)
            self.abort()

    def abort(self) -> None:
        """Close the connection without waiting for the client."""
        if not self._socket.closed and self._closing is None:
            self._closing = asyncio.ensure_future(self._socket.close(code=1013))

    async def close(self) -> None:
        """Say goodbye because the server stops."""
        await self._socket.close(code=1001)

    async def write(self) -> None:
        """Send what waits until the connection ends."""
        with contextlib.suppress(ConnectionError, RuntimeError):
            while not self._socket.closed:
                message = await self._waiting.get()
                if isinstance(message, str):
                    await self._socket.send_str(message)
                else:
                    await self._socket.send_bytes(message)

    async def read(self, on_text: Any) -> None:
        """Hand every text frame to `on_text` until the connection ends."""
        async for frame in self._socket:
            if frame.type is WSMsgType.TEXT:
                on_text(frame.data)


class Broadcaster:
    """Follows the feed once for all sockets. `start` and `stop` belong to the application's life."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._view = JobView()
        self._sockets: dict[str, ClientSocket] = {}
        self._task: asyncio.Task[None] | None = None
        self._state_sent_s = 0.0
        self._held_states: dict[str, Message] = {}

    def start(self) -> None:
        """Begin to follow the feed."""
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Stop following and close every socket."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for socket in list(self._sockets.values()):
            await socket.close()

    # ------------------------------------------------------------------ sockets

    def join(self, socket: ClientSocket) -> None:
        """Greet a client; an older socket of the same client is no longer addressed."""
        self._sockets[socket.client] = socket
        remaining = self._services.engine.counts().remaining
        status = {"status": {"exec_info": {"queue_remaining": remaining}}, "sid": socket.client}
        socket.send(_text("status", status))
        node = self._view.current_node_of(socket.client)
        if node is not None:
            socket.send(_text("executing", {"node": node}))

    def leave(self, socket: ClientSocket) -> None:
        """Forget a client, unless a newer socket took its place."""
        if self._sockets.get(socket.client) is socket:
            del self._sockets[socket.client]

    def subscribe_logs(self, client: str, enabled: bool) -> None:
        """Start or stop log events for a connected client."""
        socket = self._sockets.get(client)
        if socket is not None:
            socket.wants_logs = enabled

    # ------------------------------------------------------------------ the feed

    async def _follow(self) -> None:
        while True:
            with self._services.feed.subscribe(self._accepts, max_items=65_536) as live:
                async for item in live:
                    try:
                        await self._take(item)
                    except Exception:  # noqa: BLE001 - one odd event must not end the stream of all others
                        _log.exception("an event could not be shown to clients")
                if not live.has_lagged:
                    return
            _log.warning("events came faster than they could be shown; some were left out")
            self._view = JobView()

    def _accepts(self, item: FeedItem) -> bool:
        return not isinstance(item, LogEntry) or any(socket.wants_logs for socket in self._sockets.values())

    async def _take(self, item: FeedItem) -> None:
        if isinstance(item, PreviewPicture):
            self._send_preview(item)
        elif isinstance(item, LogEntry):
            self._send_log(item)
        else:
            event, failure = await self._with_facts(item)
            for message in self._view.translate(event, failure):
                self._send(message)

    async def _with_facts(self, event: EventRecord) -> tuple[EventRecord, Mapping[str, Any] | None]:
        """The event with what only the store knows about it, for the few kinds that need it."""
        watching = self._view.watching(event.job)
        if watching is None:
            return event, None
        if event.kind == "node_finished":
            if not event.data.get("cached") or event.data.get("ui") is not None or watching.client is None:
                return event, None
            job = await self._job(event.job, with_documents=False)
            is_target = job is not None and event.data.get("node") in job.targets
            return replace(event, data={**event.data, "is_target": is_target}), None
        if event.kind not in ("job_failed", "job_quarantined", "job_cancelled", "node_blocked"):
            return event, None
        job = await self._job(event.job, with_documents=True)
        if job is None:
            return event, None
        if event.kind in ("job_failed", "job_quarantined"):
            return event, failure_data(job)
        node = watching.current if event.kind == "job_cancelled" else event.data.get("node")
        real = watching.nodes.get(str(node), {}).get("real_node_id", event.data.get("real", node))
        record = job.prompt.get(str(real))
        kind = record.get("class_type", "") if isinstance(record, Mapping) else ""
        return replace(event, data={**event.data, "node_type": kind}), None

    async def _job(self, job: str, *, with_documents: bool) -> JobRecord | None:
        try:
            return await self._services.jobs.get(JobId(job), with_documents=with_documents)
        except NotFoundError:
            return None

    # ------------------------------------------------------------------ sending

    def _send(self, message: Message) -> None:
        sockets = self._addressed(message.client)
        if not sockets:
            return
        if message.state_of:
            now_s = asyncio.get_running_loop().time()
            if now_s - self._state_sent_s < _STATE_INTERVAL_S:
                self._held_states[message.state_of] = message
                return
            self._state_sent_s = now_s
            self._held_states.pop(message.state_of, None)
        elif message.event in _ENDINGS:
            held = self._held_states.pop(message.data["prompt_id"], None)
            if held is not None:
                self._send(replace(held, state_of=""))
        data = message.data() if callable(message.data) else message.data
        frame: str | bytes = message.frame or _text(message.event, data)
        for socket in sockets:
            socket.send(frame)

    def _addressed(self, client: str | None) -> list[ClientSocket]:
        if client is None:
            return list(self._sockets.values())
        socket = self._sockets.get(client)
        return [] if socket is None else [socket]

    def _send_preview(self, picture: PreviewPicture) -> None:
        for socket in self._addressed(picture.client_id):
            has_flag = bool(socket.features.get("supports_preview_metadata"))
            socket.send(metadata_preview_frame(picture) if has_flag else preview_frame(picture))

    def _send_log(self, entry: LogEntry) -> None:
        line = {"t": time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(entry.time_s)), "m": entry.text + os.linesep}
        text = _text("logs", {"entries": [line], "size": None})
        for socket in self._sockets.values():
            if socket.wants_logs:
                socket.send(text)


BROADCASTER: web.AppKey[Broadcaster] = web.AppKey("comfyui_broadcaster", Broadcaster)


def _text(event: str, data: Any) -> str:
    return json.dumps({"type": event, "data": data})
