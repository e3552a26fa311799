"""`server.PromptServer.instance`: messages to browsers, and the HTTP routes and job handlers packs declare."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from engine.compat.comfyui.worker.host import Host, RecordedHandler, RecordedRoute, asking_pack, asking_pack_folder
from engine.compat.comfyui.worker.inputs import plain_json
from engine.compat.comfyui.worker.running import running
from engine.compat.comfyui.worker.standins.module import StandIn, not_emulated
from engine.compat.comfyui.worker.standins.progress import preview_image

__all__ = ["BinaryEventTypes", "PromptServer", "build"]

_LOG = logging.getLogger(__name__)
_METHODS = ("get", "post", "put", "patch", "delete", "head", "options")


class BinaryEventTypes:
    """Codes of binary socket messages."""

    PREVIEW_IMAGE = 1
    UNENCODED_PREVIEW_IMAGE = 2
    TEXT = 3
    PREVIEW_IMAGE_WITH_METADATA = 4


class Routes:
    """A route table like aiohttp's: decorators that record (method, path, handler)."""

    def __init__(self, host: Host) -> None:
        self._host = host
        for method in _METHODS:
            setattr(self, method, self._decorator(method.upper()))

    def _decorator(self, method: str) -> Callable[..., Any]:
        def declare(path: str, **_: Any) -> Callable[[Any], Any]:
            def record(handler: Any) -> Any:
                self.record(method, path, handler)
                return handler

            return record

        return declare

    def record(self, method: str, path: str, handler: Any) -> None:
        """Note a route; it is served when the packs are loaded, and not at all when it is declared after that."""
        pack = asking_pack_folder()
        if self._host.is_announced:
            _LOG.warning("%s declares the route %s %s too late; it is not served", pack, method, path)
        self._host.routes.append(RecordedRoute(method, str(path), handler, pack))

    def route(self, method: str, path: str, **_: Any) -> Callable[[Any], Any]:
        """Decorator for any method."""
        return self._decorator(method)(path)

    def view(self, path: str, **_: Any) -> Callable[[Any], Any]:
        """Decorator for a class with one method per HTTP method."""
        return self._decorator("*")(path)

    def static(self, prefix: str, path: Any, **_: Any) -> None:
        """A folder to serve."""
        self.record("STATIC", str(prefix), path)

    def __iter__(self) -> Any:
        return iter(self._host.routes)


class Application:
    """What packs touch of the aiohttp application: its router, whose routes are served, and its middlewares and
    signals, which are only kept."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self.frozen = False
        self.middlewares: list[Any] = []
        self.on_startup: list[Any] = []
        self.on_shutdown: list[Any] = []
        self.on_cleanup: list[Any] = []
        methods = {f"add_{name}": self._adder(name.upper()) for name in _METHODS}
        self.router = SimpleNamespace(
            **methods,
            add_route=lambda method, path, handler, **_: routes.record(method, path, handler),
            add_static=routes.static,
            add_view=lambda path, handler, **_: routes.record("*", path, handler),
            add_routes=self.add_routes,
            routes=lambda: list(routes),
        )

    def _adder(self, method: str) -> Callable[..., None]:
        return lambda path, handler, **_: self._routes.record(method, path, handler)

    def add_routes(self, routes: Iterable[Any]) -> None:
        """Record aiohttp route definitions."""
        for item in routes:
            if isinstance(item, RecordedRoute):
                continue
            if hasattr(item, "handler"):
                self._routes.record(item.method, item.path, item.handler)
            else:
                self._routes.record("STATIC", item.prefix, item.path)

    def add_subapp(self, prefix: str, app: Any) -> None:
        """Record an application below a prefix."""
        self._routes.record("SUBAPP", prefix, app)


class PromptServer:
    """The web server as packs see it from a worker. `PromptServer.instance` is set when the stand-in is built."""

    instance: PromptServer

    def __init__(self, host: Host) -> None:
        self._host = host
        self.routes = Routes(host)
        self.app = Application(self.routes)
        self.supports = ["custom_nodes_from_web"]
        self.number = 0
        self.port = host.settings.port
        self.address = host.settings.listen[0] if host.settings.listen else "127.0.0.1"
        self.sockets: dict[str, Any] = {}
        self.sockets_metadata: dict[str, Any] = {}

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop on which handlers of packs run."""
        return self._host.thread.loop

    @property
    def client_id(self) -> str | None:
        """Who submitted the running job; None outside a call."""
        context = running()
        return context.client_id if context is not None else None

    @property
    def last_node_id(self) -> str | None:
        """The running node; None outside a call."""
        context = running()
        return context.node_id if context is not None else None

    @property
    def last_prompt_id(self) -> str | None:
        """The running job; None outside a call."""
        context = running()
        return context.job_id if context is not None else None

    def send_sync(self, event: Any, data: Any, sid: str | None = None) -> None:
        """Send an event to browsers; previews go to the running node, text to its line of text."""
        context = running()
        if event in (BinaryEventTypes.PREVIEW_IMAGE, BinaryEventTypes.UNENCODED_PREVIEW_IMAGE):
            image = preview_image(data) if not isinstance(data, (bytes, bytearray)) else None
            if context is None or image is None:
                _LOG.warning("%s sent a preview that cannot be shown here", asking_pack())
                return
            context.send_image(image, 0, 1)
            return
        if isinstance(event, int):
            raise NotImplementedError(not_emulated(f"send_sync with binary event {event}", asking_pack()))
        self._host.tell(str(event), plain_json(data), sid)

    async def send(self, event: Any, data: Any, sid: str | None = None) -> None:
        """As `send_sync`."""
        self.send_sync(event, data, sid)

    async def send_json(self, event: str, data: Any, sid: str | None = None) -> None:
        """As `send_sync`."""
        self.send_sync(event, data, sid)

    def send_progress_text(self, text: Any, node_id: str, sid: str | None = None) -> None:
        """Show a line of text on the running node."""
        context = running()
        if context is not None:
            context.text(text.decode("utf-8", "replace") if isinstance(text, (bytes, bytearray)) else str(text))

    def add_on_prompt_handler(self, handler: Callable[[Any], Any]) -> None:
        """Call `handler` with the JSON of every submitted job; what it returns is queued."""
        self._host.prompt_handlers.append(RecordedHandler(handler, asking_pack_folder()))

    def add_routes(self) -> None:
        """Nothing to do: routes are recorded as they are declared."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(not_emulated(f"server.PromptServer.instance.{name}", asking_pack()))


def build(host: Host) -> StandIn:
    """The stand-in module."""
    import uuid

    from aiohttp import web

    # Each installation has its own class, so that two hosts in one process do not share an instance.
    own = type("PromptServer", (PromptServer,), {"__module__": "server"})
    own.instance = own(host)  # type: ignore[attr-defined]
    return StandIn("server", PromptServer=own, BinaryEventTypes=BinaryEventTypes, web=web, uuid=uuid)
