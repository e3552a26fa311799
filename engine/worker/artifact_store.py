"""The disk tier of the cache: one file per content address, found again after a restart."""

from __future__ import annotations

import logging
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.core.ids import Address
from engine.worker.artifact_format import DamagedArtifact, NotStorable, read_artifact, read_facts, write_artifact

__all__ = ["ArtifactStore", "StoredArtifact", "StoredValue"]

_LOG = logging.getLogger(__name__)
_FILE = re.compile(r"([0-9a-f]{16,128})\.safetensors")
_PART = ".part"


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """An entry of the index: what it takes on disk, what making it took, and when it was last used (seconds)."""

    address: Address
    size_bytes: int
    cost_s: float
    used_s: float


@dataclass(frozen=True, slots=True)
class StoredValue:
    """A value read back."""

    outputs: tuple[list[Any], ...]
    ui: Mapping[str, list[Any]] | None
    size_bytes: int


class ArtifactStore:
    """Files below one folder. Any thread may call any method; writing is atomic, and a damaged file is deleted.

    Several workers may share the folder: equal addresses mean equal values, and a file that another worker dropped
    reads as unavailable.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def index(self) -> list[StoredArtifact]:
        """What is stored, least recently used first. Deletes damaged and unfinished files."""
        found = []
        self._folder.mkdir(parents=True, exist_ok=True)
        for entry in sorted(self._folder.iterdir()):
            match = _FILE.fullmatch(entry.name)
            if match is None:
                if entry.name.endswith(_PART):
                    entry.unlink(missing_ok=True)
                continue
            try:
                facts, status = read_facts(entry), entry.stat()
                cost_s = float(facts.get("cost_s", 0.0))
            except (DamagedArtifact, OSError, TypeError, ValueError) as error:
                self._discard(entry, error)
                continue
            found.append(StoredArtifact(Address(match[1]), status.st_size, cost_s, status.st_mtime))
        return sorted(found, key=lambda item: (item.used_s, item.address))

    def save(
        self, address: Address, outputs: tuple[list[Any], ...], ui: Mapping[str, list[Any]] | None, cost_s: float
    ) -> int | None:
        """Write a value and give its size on disk; None when it cannot be serialised or the disk refuses."""
        path = self._path(address)
        part = self._folder / f"{uuid.uuid4().hex}{_PART}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_artifact(part, outputs, ui, {"cost_s": cost_s})
            size_bytes = part.stat().st_size
            os.replace(part, path)
        except NotStorable:
            return None
        except OSError as error:
            _LOG.warning("A cached value could not be written to disk: %s", error)
            return None
        finally:
            part.unlink(missing_ok=True)
        return size_bytes

    def load(self, address: Address) -> StoredValue | None:
        """Read a value back, or None when it is not there or was damaged."""
        path = self._path(address)
        try:
            outputs, ui = read_artifact(path)
            os.utime(path)
            return StoredValue(outputs, ui, path.stat().st_size)
        except FileNotFoundError:
            return None
        except (DamagedArtifact, OSError) as error:
            self._discard(path, error)
            return None

    def drop(self, address: Address) -> None:
        """Forget a value."""
        self._path(address).unlink(missing_ok=True)

    def _path(self, address: Address) -> Path:
        return self._folder / f"{address}.safetensors"

    def _discard(self, path: Path, error: Exception) -> None:
        _LOG.warning("The cached value %s is damaged and deleted: %s", path.name, error)
        try:
            path.unlink(missing_ok=True)
        except OSError as refusal:
            _LOG.warning("It could not be deleted: %s", refusal)
