"""A job's log as ComfyUI's socket events: a pure translation, one log entry in, messages out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.compat.comfyui.server.frames import text_frame
from engine.server.records import EventRecord

__all__ = ["JobView", "Message", "Watching"]


_LARGE_NODES = 100
"""Nodes touched by a job above which its state is not sent with every step."""


@dataclass(frozen=True, slots=True)
class Message:
    """One socket message. `client` None addresses everybody; a JSON message has `event`, a binary one `frame`.

    `data` may be a function that gives the data when it is sent. `state_of` names the job whose state it is: a
    later one replaces it, so that it may be left out.
    """

    event: str = ""
    data: Any = None
    client: str | None = None
    frame: bytes = b""
    state_of: str = ""


@dataclass(slots=True)
class Watching:
    """What is known of a job that runs: nodes touched so far, and which one is shown as running."""

    client: str | None
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    finished: dict[str, None] = field(default_factory=dict)
    current: str | None = None
    current_display: str | None = None


class JobView:
    """Translates the logs of all jobs, for everybody at once; one per server.

    Facts only the store has come with the event: the caller adds `is_target` to a cached node_finished without UI
    output, and `node_type` to node_blocked and job_cancelled.
    """

    def __init__(self) -> None:
        self._running: dict[str, Watching] = {}
        self._ended: list[tuple[str, str | None]] = []
        self._counts: tuple[Any, Any] | None = None

    def watching(self, job: str) -> Watching | None:
        """The running job, or None."""
        return self._running.get(job)

    def current_node_of(self, client: str) -> str | None:
        """The node shown as running for a client that connects again."""
        for watching in self._running.values():
            if watching.client == client and watching.current_display is not None:
                return watching.current_display
        return None

    def translate(self, event: EventRecord, failure: Mapping[str, Any] | None = None) -> list[Message]:
        """The messages of one event, in order. `failure` is the data of execution_error for job_failed."""
        if event.kind == "queue_changed":
            return self._queue_changed(event)
        if event.kind == "pack_event":
            return [Message(str(event.data.get("event")), event.data.get("data"), event.client_id)]
        if event.kind == "job_started":
            return self._started(event)
        watching = self._running.get(event.job)
        if watching is None:
            return []
        handler = {
            "nodes_cached": self._nodes_cached,
            "node_started": self._node_started,
            "node_progress": self._node_progress,
            "node_finished": self._node_finished,
            "node_blocked": self._node_blocked,
            "node_text": self._node_text,
            "job_succeeded": self._succeeded,
            "job_cancelled": self._cancelled,
            "job_requeued": self._requeued,
        }.get(event.kind)
        if event.kind in ("job_failed", "job_quarantined"):
            return self._failed(event, watching, failure or {})
        return handler(event, watching) if handler is not None else []

    # ------------------------------------------------------------------ queue

    def _queue_changed(self, event: EventRecord) -> list[Message]:
        counts = (event.data.get("pending", 0), event.data.get("running", 0))
        messages = []
        if counts != self._counts:
            # Leasing and starting are one step for clients: only changed numbers are news.
            self._counts = counts
            messages.append(Message("status", {"status": {"exec_info": {"queue_remaining": sum(counts)}}}))
        for job, client in self._ended:
            if client is not None:
                messages.append(Message("executing", {"node": None, "prompt_id": job}, client))
        self._ended.clear()
        return messages

    # ------------------------------------------------------------------ life of a job

    def _started(self, event: EventRecord) -> list[Message]:
        client = event.client_id
        self._running[event.job] = Watching(client)
        return _private(client, "execution_start", {"prompt_id": event.job, "timestamp": _ms(event)})

    def _requeued(self, event: EventRecord, watching: Watching) -> list[Message]:
        del self._running[event.job]
        return []

    def _close(self, event: EventRecord, watching: Watching) -> None:
        del self._running[event.job]
        self._ended.append((event.job, watching.client))

    def _succeeded(self, event: EventRecord, watching: Watching) -> list[Message]:
        self._close(event, watching)
        return _private(watching.client, "execution_success", {"prompt_id": event.job, "timestamp": _ms(event)})

    def _failed(self, event: EventRecord, watching: Watching, failure: Mapping[str, Any]) -> list[Message]:
        self._close(event, watching)
        data = {"prompt_id": event.job, **failure, "executed": list(watching.finished), "timestamp": _ms(event)}
        return _private(watching.client, "execution_error", data)

    def _cancelled(self, event: EventRecord, watching: Watching) -> list[Message]:
        self._close(event, watching)
        node = watching.current or ""
        entry = watching.nodes.get(node, {})
        data = {
            "prompt_id": event.job,
            "node_id": entry.get("real_node_id", node),
            "node_type": event.data.get("node_type", ""),
            "executed": list(watching.finished),
            "timestamp": _ms(event),
        }
        return [Message("execution_interrupted", data, watching.client)]

    # ------------------------------------------------------------------ nodes

    def _nodes_cached(self, event: EventRecord, watching: Watching) -> list[Message]:
        nodes = list(event.data.get("nodes", ()))
        watching.finished.update(dict.fromkeys(nodes))
        data = {"nodes": nodes, "prompt_id": event.job, "timestamp": _ms(event)}
        return _private(watching.client, "execution_cached", data)

    def _node_started(self, event: EventRecord, watching: Watching) -> list[Message]:
        entry = self._entry(event, watching)
        entry["state"] = "running"
        watching.current, watching.current_display = entry["node_id"], entry["display_node_id"]
        data = {"node": entry["node_id"], "display_node": entry["display_node_id"], "prompt_id": event.job}
        return [self._state(event.job, watching), *_private(watching.client, "executing", data)]

    def _node_progress(self, event: EventRecord, watching: Watching) -> list[Message]:
        entry = self._entry(event, watching)
        entry["value"], entry["max"] = event.data.get("value", 0.0), event.data.get("max", 1.0)
        data = {"value": entry["value"], "max": entry["max"], "prompt_id": event.job, "node": entry["node_id"]}
        return [self._state(event.job, watching), Message("progress", data, watching.client)]

    def _node_finished(self, event: EventRecord, watching: Watching) -> list[Message]:
        entry = self._entry(event, watching)
        entry["state"], entry["value"] = "finished", entry["max"]
        watching.finished[entry["node_id"]] = None
        if watching.current == entry["node_id"]:
            watching.current = watching.current_display = None
        ui, is_cached = event.data.get("ui"), event.data.get("cached")
        messages: list[Message] = []
        if ui is not None or (is_cached and event.data.get("is_target")):
            data = {
                "node": entry["node_id"],
                "display_node": entry["display_node_id"],
                "output": ui,
                "prompt_id": event.job,
            }
            messages += _private(watching.client, "executed", data)
        return [*messages, self._state(event.job, watching)]

    def _node_blocked(self, event: EventRecord, watching: Watching) -> list[Message]:
        text = event.data.get("message")
        if text is None:
            return []
        data = {
            "prompt_id": event.job,
            "node_id": event.data.get("real", event.data.get("node")),
            "node_type": event.data.get("node_type", ""),
            "executed": list(watching.finished),
            "exception_message": f"Execution Blocked: {text}",
            "exception_type": "ExecutionBlocked",
            "traceback": [],
            "current_inputs": [],
            "current_outputs": [],
        }
        return _private(watching.client, "execution_error", data)

    def _node_text(self, event: EventRecord, watching: Watching) -> list[Message]:
        return [Message(frame=text_frame(str(event.data.get("node", "")), str(event.data.get("text", ""))))]

    def _entry(self, event: EventRecord, watching: Watching) -> dict[str, Any]:
        node = str(event.data.get("node"))
        entry = watching.nodes.get(node)
        if entry is None:
            entry = watching.nodes[node] = {
                "value": 0.0,
                "max": 1.0,
                "state": "running",
                "node_id": node,
                "prompt_id": event.job,
                "display_node_id": event.data.get("display", node),
                "parent_node_id": event.data.get("parent"),
                "real_node_id": event.data.get("real", node),
            }
        return entry

    def _state(self, job: str, watching: Watching) -> Message:
        def snapshot() -> dict[str, Any]:
            return {"prompt_id": job, "nodes": {node: dict(entry) for node, entry in watching.nodes.items()}}

        # The message repeats every node touched so far: in large graphs only some of them can be sent.
        is_large = len(watching.nodes) > _LARGE_NODES
        return Message("progress_state", snapshot, watching.client, state_of=job if is_large else "")


def _private(client: str | None, event: str, data: Any) -> list[Message]:
    """A message only its submitter gets; nobody does when the job was submitted without a client id."""
    return [] if client is None else [Message(event, data, client)]


def _ms(event: EventRecord) -> int:
    return int(event.time_s * 1000)
