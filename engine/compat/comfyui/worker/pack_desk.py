"""What packs asked of the web server, published with the catalog and answered in this process."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from engine.compat.comfyui.worker.host import Host, RecordedHandler, RecordedRoute, pack_key
from engine.compat.comfyui.worker.web_calls import WebCalls, refusal
from engine.protocol.messages import CallPack, Message, PackReply, PackReport, PackRoute

__all__ = ["PackDesk"]

_LOG = logging.getLogger(__name__)


class PackDesk:
    """Serves the routes and the handlers of submitted jobs that packs declared while they were loaded."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._web = WebCalls(host.settings.folders)

    def announce(self, reports: Sequence[PackReport]) -> list[PackReport]:
        """The reports with the routes each pack declared; those that cannot be served are warned of. Call it once."""
        routes: dict[str, list[PackRoute]] = {}
        warnings: dict[str, list[str]] = {}
        owners: dict[tuple[str, str], str] = {}
        for route in self._host.routes:
            try:
                owner = owners.setdefault((route.method, route.path), route.pack)
                if owner != route.pack or _published(route)[0] in routes.get(route.pack, ()):
                    raise ValueError(f"{owner} has declared it already")
                self._web.add(route)
                routes.setdefault(route.pack, []).extend(_published(route))
            except Exception as error:  # noqa: BLE001 - declared by a pack; reported by name
                text = f"The route {route.method} {route.path} is not served: {error}."
                _LOG.warning("%s: %s", route.pack, text)
                warnings.setdefault(route.pack, []).append(text)
        self._host.is_announced = True
        changers = {handler.pack for handler in self._host.prompt_handlers}
        return [
            replace(
                report,
                warnings=[*report.warnings, *self._lacking(report), *warnings.get(pack_key(report.name), ())],
                routes=routes.get(pack_key(report.name), []),
                changes_submissions=pack_key(report.name) in changers,
            )
            for report in reports
        ]

    def _lacking(self, report: PackReport) -> list[str]:
        names = sorted(self._host.lacking.get(pack_key(report.name), ()))
        if not names:
            return []
        return [f"Not emulated yet, so that nodes that need it fail when they run: {', '.join(names)}."]

    def answer(self, call: CallPack, send: Callable[[Message], None]) -> None:
        """Answer on the packs' own event loop; see `engine.worker.pack_services`."""
        asyncio.run_coroutine_threadsafe(self._answer(call, send), self._host.thread.loop)

    async def _answer(self, call: CallPack, send: Callable[[Message], None]) -> None:
        try:
            reply = await (self._change(call) if call.kind == "submission" else self._web.answer(call))
        except Exception as error:  # noqa: BLE001 - every call is replied to
            _LOG.exception("a call to the packs failed")
            reply = refusal(call.request, 500, "pack_failed", f"The call failed: {type(error).__name__}: {error}")
        await asyncio.to_thread(send, reply)

    # ------------------------------------------------------------------ submitted documents

    async def _change(self, call: CallPack) -> PackReply:
        """Let every handler change the document; one that raises, or takes too long, is skipped and named."""
        given = json.loads(call.body)
        document, problems = given, []
        deadline_s = asyncio.get_running_loop().time() + call.timeout_s
        for handler in self._host.prompt_handlers:
            left_s = max(0.0, deadline_s - asyncio.get_running_loop().time())
            try:
                answer = await asyncio.wait_for(_call(handler, copy.deepcopy(document)), left_s)
                if not isinstance(answer, dict):
                    raise TypeError(f"it returned {type(answer).__name__} instead of the JSON it was given")
                json.dumps(answer)
                document = answer
            except asyncio.TimeoutError:
                problems.append(f"{handler.pack} did not look at the job in time; it goes on without.")
            except Exception as error:  # noqa: BLE001 - code of a pack; the job goes on without it
                _LOG.warning("the job handler of %s failed:\n%s", handler.pack, traceback.format_exc())
                problems.append(f"{handler.pack} failed to look at the job: {type(error).__name__}: {error}")
        body = b"" if document is given or document == given else json.dumps(document).encode()
        return PackReply(call.request, {"problems": problems}, body)


async def _call(handler: RecordedHandler, document: dict[str, Any]) -> Any:
    """In a thread, so that a handler that blocks does not hold up the routes."""
    answer = await asyncio.to_thread(handler.function, document)
    return await answer if inspect.isawaitable(answer) else answer


def _published(route: RecordedRoute) -> list[PackRoute]:
    """How the server is told of a route; what is below a folder or an application is matched here."""
    if route.method == "STATIC":
        return [PackRoute("GET", route.path.rstrip("/") + "/{name:.+}")]
    if route.method == "SUBAPP":
        return [PackRoute("*", route.path.rstrip("/") + "/{name:.*}")]
    return [PackRoute(route.method, route.path)]
