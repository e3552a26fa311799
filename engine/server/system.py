"""Facts about the machine, the versions, the workers and the queue."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
from dataclasses import asdict
from importlib import metadata
from typing import TYPE_CHECKING, Any

import psutil

from engine.server.database import has_wal_reset_race

if TYPE_CHECKING:
    from engine.server.services import Services

__all__ = ["describe_installation", "system_stats"]

_PACKAGES = (
    "torch",
    "safetensors",
    "aiohttp",
    "SQLAlchemy",
    "alembic",
    "pillow",
    "numpy",
    "kornia",
    "psutil",
    "xformers",
)


async def system_stats(services: Services) -> dict[str, Any]:
    """See `Engine.system_stats`."""
    memory = psutil.virtual_memory()
    infos = services.workers.infos()
    counts = services.jobs.counts()
    versions: dict[str, str] = {}
    for info in infos:
        versions.update(info.versions)
    return {
        "system": {
            "os": sys.platform,
            "ram_total": memory.total,
            "ram_free": memory.available,
            "python_version": sys.version,
            "pytorch_version": versions.get("torch", _version("torch")),
            "embedded_python": False,
            "argv": [*sys.argv[:1], *services.settings.arguments],
            "versions": versions,
        },
        "devices": [info.device for info in infos if info.device],
        "workers": [{**asdict(info), "jobs": list(info.jobs)} for info in infos],
        "queue": {"pending": counts.pending, "running": counts.running, "paused": counts.is_paused},
        "uptime_s": max(0.0, services.clock() - services.started_s),
    }


def describe_installation(services: Services) -> dict[str, Any]:
    """What `doctor` shows: versions, folders and whether they can be written, and SQLite."""
    folders = services.settings.folders
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count() or 1,
        "packages": {name: _version(name) for name in _PACKAGES},
        "sqlite": {
            "version": sqlite3.sqlite_version,
            "has_wal_reset_race": has_wal_reset_race(sqlite3.sqlite_version_info),
        },
        "folders": {
            name: {"exists": path.is_dir(), "writable": os.access(path, os.W_OK)}
            for name, path in (("input", folders.input), ("output", folders.output), ("user", folders.user))
        },
        "packs": [
            {"name": pack.name, "node_types": len(pack.node_types), "seconds": pack.seconds, "error": pack.error}
            for pack in services.catalog.packs
        ],
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
