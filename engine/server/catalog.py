"""The node specs workers published, kept on disk so that a restarted server can answer before its workers are up."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from engine.core.folders import Folders
from engine.graph.schema import Catalog, object_info, spec_from_json
from engine.protocol.messages import CatalogPublished, PackReport, PackRoute
from engine.server.durable_files import write_durably
from engine.server.listing import FileLister

__all__ = ["CatalogHolder"]

_log = logging.getLogger(__name__)
_FORMAT = 2

Packs = tuple[PackReport, ...]


class CatalogHolder:
    """The newest catalog and the packs it came from. `lister` lists the files that inputs offer."""

    def __init__(self, folders: Folders) -> None:
        self._path = folders.data / "catalog" / "current.json"
        self._is_published = asyncio.Event()
        self.lister = FileLister(folders)
        self.current = Catalog({})
        self._review: Callable[[Packs], Packs] = lambda packs: packs
        self._reported: Packs = ()
        self.packs: Packs = ()

    @property
    def digest(self) -> str:
        """Digest of the current catalog, "" while none is known."""
        return self.current.digest

    @property
    def is_known(self) -> bool:
        """Whether a catalog is known: from this run's workers or from an earlier run."""
        return bool(self.current.digest)

    def load(self) -> None:
        """Read the catalog of the last run, if there is one that can be read."""
        try:
            record = json.loads(self._path.read_bytes())
            if record["format"] != _FORMAT:
                return
            specs = [spec_from_json(item) for item in record["specs"]]
            packs = tuple(_report_from_json(item) for item in record["packs"])
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError) as error:
            _log.warning("The stored node catalog cannot be read and is made anew: %s", error)
            return
        self._take(Catalog({spec.name: spec for spec in specs}, record["digest"]), packs)

    def publish(self, message: CatalogPublished) -> None:
        """Take what a worker published; without specs it confirms the catalog it was told is known."""
        if not message.specs and message.digest == self.digest:
            self._take(self.current, tuple(message.packs) or self._reported)
            return
        specs = [spec_from_json(item) for item in message.specs]
        self._take(Catalog({spec.name: spec for spec in specs}, message.digest), tuple(message.packs))
        record = {
            "format": _FORMAT,
            "digest": message.digest,
            "specs": message.specs,
            "packs": [asdict(pack) for pack in message.packs],
        }
        try:
            write_durably(self._path, json.dumps(record).encode())
        except OSError as error:
            _log.warning("The node catalog could not be kept for the next start: %s", error)

    def _take(self, catalog: Catalog, packs: Packs) -> None:
        self.current, self._reported = catalog, packs
        self.packs = self._review(packs)
        self._is_published.set()

    def review_with(self, review: Callable[[Packs], Packs]) -> None:
        """Have a view look at the reports of packs, now and whenever new ones come; it may add warnings to them."""
        self._review = review
        self.packs = review(self._reported)

    async def wait(self, timeout_s: float) -> bool:
        """Whether a catalog is known, waiting up to `timeout_s` for one."""
        try:
            await asyncio.wait_for(self._is_published.wait(), timeout_s)
        except asyncio.TimeoutError:
            return False
        return True

    def object_info(self, name: str | None = None) -> dict[str, Any]:
        """ComfyUI's `/object_info` of all node types or one ({} when unknown). Lists folders: call it in a thread."""
        lister = self.lister.remembering()
        if name is not None:
            spec = self.current.get(name)
            return {} if spec is None else {name: object_info(spec, lister)}
        return {name: object_info(self.current[name], lister) for name in self.current}


def _report_from_json(record: Mapping[str, Any]) -> PackReport:
    return PackReport(**{**record, "routes": [PackRoute(**item) for item in record["routes"]]})
