"""What commands need of an engine: its catalog, and settings for a run beside a server that holds the data folder."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.core.errors import SettingsError, WorkerLost
from engine.core.settings import Settings
from engine.graph.prompt import parse_prompt
from engine.graph.schema import Catalog
from engine.graph.validate import validate
from engine.server.catalog import CatalogHolder
from engine.server.core import Engine
from engine.server.data_lock import DataLock
from engine.server.listing import FileLister
from engine.worker.pack_sources import scan_sources

__all__ = ["check_prompt", "load_catalog", "private_settings", "wait_until_ready"]

_READY_TIMEOUT_S = 180.0
_POLL_S = 0.02
_ROOT = Path(__file__).resolve().parent.parent.parent


def private_settings(settings: Settings) -> Settings:
    """`settings` if this process may use the data folder; with state folders of its own while a server holds it.

    Pictures go to the same output folder either way; cached values are not shared in the second case.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        DataLock(settings.folders.data).release()
    except SettingsError as error:
        if error.code != "data_folder_in_use":
            raise
        private = Path(tempfile.gettempdir()) / f"atelier-run-{os.getpid()}"
        folders = replace(settings.folders, user=private / "user", temp=private / "temp")
        return replace(settings, folders=folders)
    return settings


def load_catalog(settings: Settings, *, fresh: bool = False) -> Catalog:
    """The node catalog: the stored one when it belongs to the present node sources, else from a worker."""
    holder = CatalogHolder(settings.folders)
    holder.load()
    sources = scan_sources(_ROOT, settings).digest
    if holder.digest.startswith(f"{sources}-") and not fresh:
        return holder.current
    return asyncio.run(_catalog_of_worker(private_settings(settings)))


async def _catalog_of_worker(settings: Settings) -> Catalog:
    async with Engine.open(settings) as engine:
        await wait_until_ready(engine)
        for pack in engine.services.catalog.packs:
            if pack.error:
                print(f"The pack {pack.name} does not load:\n{pack.error}", file=sys.stderr)
        return engine.services.catalog.current


async def wait_until_ready(engine: Engine) -> None:
    """Return once a worker accepts jobs. Raises WorkerLost when none comes up."""
    deadline = asyncio.get_running_loop().time() + _READY_TIMEOUT_S
    while not engine.is_ready:
        if engine.services.workers.have_failed or asyncio.get_running_loop().time() > deadline:
            tail = "\n".join(entry.text for entry in engine.services.logs.entries()[-20:])
            raise WorkerLost(
                "No worker process came up.", hint=f"`python3 main.py doctor` may say why. The end of its log:\n{tail}"
            )
        await asyncio.sleep(_POLL_S)


def check_prompt(settings: Settings, catalog: Catalog, prompt: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The complaints about an API prompt, as JSON."""
    lister = FileLister(settings.folders).remembering()
    found = validate(parse_prompt(prompt), catalog, list_files=lister, file_exists=lister.exists)
    return [complaint.to_json() for complaint in found.complaints]
