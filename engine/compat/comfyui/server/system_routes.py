"""/system_stats, /features, /internal."""

from __future__ import annotations

import asyncio
import os
import time
from importlib import metadata
from pathlib import Path

from aiohttp import web

from engine.compat.comfyui import EMULATED_VERSION
from engine.compat.comfyui.server.broadcast import BROADCASTER
from engine.compat.comfyui.server.requests import SERVICES, Handler, empty, read_json, say
from engine.compat.comfyui.server.socket_route import server_features
from engine.core.errors import GraphError

__all__ = ["INTERNAL_ROUTES", "ROUTES"]

_SYSTEM_KEYS = ("ram_total", "ram_free", "python_version", "pytorch_version", "embedded_python", "argv")
_DEVICE_KEYS = ("name", "type", "index", "vram_total", "vram_free", "torch_vram_total", "torch_vram_free")


async def get_system_stats(request: web.Request) -> web.Response:
    """The machine and its devices."""
    stats = await request.app[SERVICES].engine.system_stats()
    system = {"os": os.name, **{key: stats["system"].get(key) for key in _SYSTEM_KEYS}}
    system["comfyui_version"] = EMULATED_VERSION
    system["required_frontend_version"] = None
    system["installed_templates_version"] = _installed("comfyui-workflow-templates")
    system["required_templates_version"] = None
    # Clients expect at least one device; until a worker has named its own, the host's processors are what is known.
    host = {"name": "cpu", "type": "cpu", "vram_total": system["ram_total"], "vram_free": system["ram_free"]}
    host.update(torch_vram_total=system["ram_total"], torch_vram_free=system["ram_free"])
    devices = [{key: device.get(key) for key in _DEVICE_KEYS} for device in stats["devices"] or [host]]
    return say({"system": system, "devices": devices})


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


async def get_features(request: web.Request) -> web.Response:
    """What this server announces."""
    return say(server_features(request.app[SERVICES]))


# ------------------------------------------------------------------ internal


async def get_logs(request: web.Request) -> web.Response:
    """The newest log lines as one text."""
    lines = [f"{_iso(entry.time_s)} - {entry.text}" for entry in request.app[SERVICES].logs.entries()]
    return say("\n".join(lines))


async def get_raw_logs(request: web.Request) -> web.Response:
    """The newest log lines as entries."""
    entries = request.app[SERVICES].logs.entries()
    return say(
        {
            "entries": [{"t": _iso(entry.time_s), "m": entry.text + "\n"} for entry in entries],
            "size": {"cols": 80, "rows": 24},
        }
    )


def _iso(time_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time_s))


async def subscribe_logs(request: web.Request) -> web.Response:
    """Start or stop log events for a connected client."""
    body = await read_json(request)
    if not isinstance(body, dict) or not isinstance(body.get("clientId"), str):
        raise GraphError("The body must name a clientId.", code="bad_request")
    request.app[BROADCASTER].subscribe_logs(body["clientId"], bool(body.get("enabled")))
    return empty()


async def get_folder_paths(request: web.Request) -> web.Response:
    """Search folders of every model folder key."""
    models = request.app[SERVICES].settings.folders.models
    return say({name: [str(path) for path in folder.paths] for name, folder in models.items()})


async def list_working_files(request: web.Request) -> web.Response:
    """Files of the top level of a working folder, newest first."""
    kind = request.match_info["kind"]
    if kind not in ("input", "output", "temp"):
        return say({"error": "Invalid directory type"}, 400)
    return say(await asyncio.to_thread(_newest_first, request.app[SERVICES].settings.folders.root(kind)))


def _newest_first(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            found = [(entry.stat().st_mtime, entry.name) for entry in entries if entry.is_file()]
    except FileNotFoundError:
        return []
    return [name for _, name in sorted(found, key=lambda item: -item[0]) if not name.startswith(".")]


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/system_stats", get_system_stats),
    ("GET", "/features", get_features),
)
INTERNAL_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/internal/logs", get_logs),
    ("GET", "/internal/logs/raw", get_raw_logs),
    ("PATCH", "/internal/logs/subscribe", subscribe_logs),
    ("GET", "/internal/folder_paths", get_folder_paths),
    ("GET", "/internal/files/{kind}", list_working_files),
)
