"""What the stand-in modules act upon: one `Host` per worker process, made by the worker and passed in."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from engine.api import NodeDefinition
from engine.compat.comfyui.worker.pack_thread import PackThread
from engine.compat.comfyui.worker.running import running
from engine.core.settings import Settings

__all__ = ["ClientEvent", "Host", "RecordedHandler", "RecordedRoute", "asking_pack", "asking_pack_folder", "pack_key"]

_LOG = logging.getLogger(__name__)
_PACKS = "custom_nodes"
_DOT = "_x_"
"""How the loader writes a dot of a pack's folder name in its module's name."""


@dataclass(frozen=True, slots=True)
class ClientEvent:
    """A message a pack sends to browsers. `job` is None outside a node call; `client` None means everybody."""

    event: str
    data: Any
    job: str | None
    client: str | None


@dataclass(frozen=True, slots=True)
class RecordedRoute:
    """An HTTP route a pack declared, with the handler it wants called.

    `method` is an HTTP method, "*" for all, "STATIC" when `handler` is a folder, "SUBAPP" when it is an application.
    `pack` is the folder of the pack.
    """

    method: str
    path: str
    handler: Any
    pack: str


@dataclass(frozen=True, slots=True)
class RecordedHandler:
    """A function of a pack that wants to see, and may change, the JSON of submitted jobs."""

    function: Callable[[Any], Any]
    pack: str


@dataclass(slots=True)
class Host:
    """The worker as packs see it.

    Args:
        settings: of this process.
        definitions: every loaded node definition by type name; a live view (built-ins first, packs as they load).
        send: delivers a ClientEvent to the server.
        device: gives the torch device of this worker (asked when first needed).
        unload: asks the engine to give up weights no running job holds.
        routes, prompt_handlers: what packs asked the web server for, served by a PackDesk. `is_announced`: the server
            has been told of them; what is declared later comes too late.
        thread: where handlers of packs run.
        lacking: names that are not emulated and that packs got placeholders for while they loaded, by pack.
    """

    settings: Settings
    definitions: Mapping[str, NodeDefinition] = field(default_factory=dict)
    send: Callable[[ClientEvent], None] | None = None
    device: Callable[[], Any] | None = None
    unload: Callable[[], None] | None = None
    routes: list[RecordedRoute] = field(default_factory=list)
    prompt_handlers: list[RecordedHandler] = field(default_factory=list)
    is_announced: bool = False
    thread: PackThread = field(default_factory=PackThread)
    lacking: dict[str, dict[str, None]] = field(default_factory=dict)
    extra_web_directories: MutableMapping[str, str] = field(default_factory=dict)

    def tell(self, event: str, data: Any, client: str | None = None) -> None:
        """Send an event to browsers; outside a job, or without a server, it is logged and dropped."""
        context = running()
        job = context.job_id if context is not None else None
        if self.send is None:
            _LOG.warning("event %r of pack %s is dropped: no server listens", event, asking_pack())
            return
        self.send(ClientEvent(event, data, job, client))


def asking_pack() -> str:
    """The module outside the engine that called (for messages); "unknown" when there is none."""
    frame = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if not name.startswith(("engine.", "importlib", "_frozen_importlib")) and name not in ("engine", ""):
            return name
        frame = frame.f_back  # type: ignore[assignment]
    return "unknown"


def asking_pack_folder() -> str:
    """The folder of the pack on whose behalf this is called; `asking_pack` when no module of a pack is on the stack.

    A pack may import modules under names of their own; the import of the pack itself is further down the stack.
    """
    frame = sys._getframe(1)
    while frame is not None:
        package, _, module = str(frame.f_globals.get("__name__", "")).partition(".")
        if package == _PACKS and module:
            return pack_key(module.partition(".")[0])
        frame = frame.f_back  # type: ignore[assignment]
    return asking_pack()


def pack_key(name: str) -> str:
    """One text for a pack's folder name and for the part of its module's name that stands for it."""
    return name.replace(_DOT, ".")
