"""How --max-ram is shared out in a worker: the process itself, cached values, and weights with their activations."""

from __future__ import annotations

from dataclasses import replace

import psutil

from engine.core.settings import Settings

__all__ = ["own_memory_bytes", "shared_out"]

_CACHE_SHARE = 4
"""Cached values get at most one part in this many."""


def own_memory_bytes() -> int:
    """Resident memory of this process that is no page of a file."""
    found = psutil.Process().memory_info()
    return int(found.rss - getattr(found, "shared", 0))


def shared_out(settings: Settings, own_bytes: int) -> Settings:
    """The settings with what is left of --max-ram for the cache and for networks; unchanged where there is no limit.

    own_bytes: what the process holds before it has either. Mapped weight files are not counted: they are resident only
    as long as nobody else wants the room.
    """
    limit = settings.memory.max_ram_bytes
    if limit is None:
        return settings
    cache_bytes = min(settings.cache.max_ram_bytes, limit // _CACHE_SHARE)
    return replace(
        settings,
        cache=replace(settings.cache, max_ram_bytes=cache_bytes),
        memory=replace(settings.memory, max_ram_bytes=max(0, limit - cache_bytes - own_bytes)),
    )
