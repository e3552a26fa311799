"""The weight files on this machine, by folder, with content hashes remembered by size and time."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import dataclass
from pathlib import Path

from engine.core.digest import digest_file
from engine.core.folders import Folders
from engine.server.durable_files import write_durably

__all__ = ["ModelFile", "ModelFiles"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A weight file. `sha256` is "" until it was asked for."""

    folder: str
    name: str
    size_bytes: int
    modified_s: float
    sha256: str = ""


class ModelFiles:
    """Lists and hashes model files. Methods block on the disk; call them in a thread."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._path = folders.data / "model_hashes.json"
        self._known: dict[str, list[object]] | None = None
        self._lock = threading.Lock()
        self._hashing = threading.Lock()

    def folders(self) -> list[str]:
        """The model folder keys."""
        return [name for name in self._folders.models if name != "custom_nodes"]

    def list(self, folder: str) -> list[ModelFile]:
        """The files of a folder key, with the hashes that are known. Raises NotFoundError."""
        found = []
        for name in self._folders.model_names(folder):
            path = self._folders.model_path(folder, name)
            if path.is_file():
                found.append(self._facts(folder, name, path, self._remembered(path)))
        return found

    def hash(self, folder: str, name: str) -> ModelFile:
        """One file with its SHA-256, computed when it is not known. Raises NotFoundError, ContainmentError."""
        path = self._folders.model_path(folder, name)
        sha256 = self._remembered(path)
        if not sha256:
            with self._hashing:  # one file at a time: the disk is the limit
                sha256 = self._remembered(path) or digest_file(path)
                self._remember(path, sha256)
        return self._facts(folder, name, path, sha256)

    def _facts(self, folder: str, name: str, path: Path, sha256: str) -> ModelFile:
        facts = path.stat()
        return ModelFile(folder, name, facts.st_size, facts.st_mtime, sha256)

    def _remembered(self, path: Path) -> str:
        facts = path.stat()
        with self._lock:
            entry = self._load().get(str(path))
        if entry is None or entry[:2] != [facts.st_size, facts.st_mtime_ns]:
            return ""
        return str(entry[2])

    def _remember(self, path: Path, sha256: str) -> None:
        facts = path.stat()
        with self._lock:
            known = self._load()
            known[str(path)] = [facts.st_size, facts.st_mtime_ns, sha256]
            write_durably(self._path, json.dumps(known).encode())

    def _load(self) -> dict[str, list[object]]:
        if self._known is None:
            try:
                self._known = dict(json.loads(self._path.read_bytes()))
            except FileNotFoundError:
                self._known = {}
            except (ValueError, TypeError) as error:
                _log.warning("The remembered model hashes cannot be read and are made anew: %s", error)
                self._known = {}
        return self._known
