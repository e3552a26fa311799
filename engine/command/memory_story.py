"""`main.py doctor --job`: the memory story of a job, asked of the running server and told in lines."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from engine.core.errors import NotFoundError, SettingsError
from engine.core.settings import Settings

__all__ = ["memory_lines", "read_memory_story"]

_TIMEOUT_S = 30.0
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def read_memory_story(settings: Settings, job: str) -> dict[str, Any]:
    """The story as `stats.memory` of the job's record has it.

    Raises SettingsError when no server answers at the address of these settings, NotFoundError for an unknown job or
    one that has no story: it has not ended, or used no model.
    """
    address = settings.listen[0] if settings.listen else "127.0.0.1"
    host = _ANY_ADDRESS.get(address, address)
    connection: http.client.HTTPConnection
    if settings.tls_certfile is None:
        connection = http.client.HTTPConnection(host, settings.port, timeout=_TIMEOUT_S)
    else:
        # It is this machine, under a name its certificate need not have.
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(host, settings.port, timeout=_TIMEOUT_S, context=context)
    headers = {} if settings.token is None else {"Authorization": f"Bearer {settings.token}"}
    try:
        connection.request("GET", f"/api/v1/jobs/{quote(job, safe='')}", headers=headers)
        reply = connection.getresponse()
        record = json.loads(reply.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise SettingsError(
            f"No server answers at {host}:{settings.port}: {error}.",
            hint="Start it, or give its --listen, --port and --token.",
        ) from error
    finally:
        connection.close()
    if reply.status != 200:
        raise NotFoundError(str(record.get("error", {}).get("message", f"The server answered {reply.status}.")))
    story = (record.get("stats") or {}).get("memory")
    if not story:
        raise NotFoundError(f"Job {job} has no memory story.", hint="Jobs without models have none, nor running ones.")
    return dict(story)


def memory_lines(story: Mapping[str, Any]) -> list[str]:
    """The story as text: every change, then what is where on each device."""
    lines = [f"{item['kind']:<9}{_mib(item['num_bytes'])}  {item['what']}{_because(item)}" for item in story["changes"]]
    hidden = story["num_changes"] - len(story["changes"])
    if hidden > 0:
        lines.insert(0, f"({hidden} earlier changes are not shown)")
    if not lines:
        lines.append("Nothing was loaded, moved or evicted: everything the job used was there.")
    for device in story["devices"]:
        lines.append(f"{device['device']}: {_mib(device['resident_bytes'])} of {_mib(device['budget_bytes'])} in use")
        for network in device["networks"]:
            lines.append(
                f"  {_mib(network['resident_bytes'])} resident, {_mib(network['moved_bytes'])} moved in each forward, "
                f"{_mib(network['mapped_bytes'])} mapped  {network['what']}{' (kept loaded)' * network['pinned']}"
            )
    return lines


def _because(change: Mapping[str, Any]) -> str:
    return f" ({change['why']})" if change["why"] else ""


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / (1 << 20):8.1f} MiB"
