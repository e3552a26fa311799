"""The weight files on this machine, by folder, with content hashes remembered by size and time."""

from __future__ import annotations

import json
import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from engine.core.digest import digest_file
from engine.core.errors import NotFoundError
from engine.core.folders import Folders
from engine.server.durable_files import write_durably

__all__ = ["PICTURE_SUFFIXES", "ModelFile", "ModelFiles"]

PICTURE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".webp", ".preview.png", ".preview.jpg", ".preview.jpeg", ".preview.webp",
)  # fmt: skip
"""Endings of the picture beside a model file, in place of the file's own; the first one counts."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A weight file. `sha256` is "" until it was asked for; `has_picture` says whether one lies beside it."""

    folder: str
    name: str
    size_bytes: int
    modified_s: float
    sha256: str = ""
    has_picture: bool = False


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
        beside: dict[Path, frozenset[str]] = {}
        for name in self._folders.model_names(folder):
            path = self._folders.model_path(folder, name)
            if not path.is_file():
                continue
            if path.parent not in beside:
                beside[path.parent] = frozenset(os.listdir(path.parent))
            found.append(self._facts(folder, name, path, self._remembered(path), beside[path.parent]))
        return found

    def picture(self, folder: str, name: str) -> Path:
        """The picture beside a file, named as it is. Raises NotFoundError, ContainmentError."""
        path = self._folders.model_path(folder, name)
        found = _picture_name(path, frozenset(os.listdir(path.parent)))
        if found is None or not path.with_name(found).is_file():
            raise NotFoundError(
                f"There is no picture of {name!r}.", hint=f"Put {path.stem}.png beside it, for example."
            )
        return path.with_name(found)

    def hash(self, folder: str, name: str) -> ModelFile:
        """One file with its SHA-256, computed when it is not known. Raises NotFoundError, ContainmentError."""
        path = self._folders.model_path(folder, name)
        sha256 = self._remembered(path)
        if not sha256:
            with self._hashing:  # one file at a time: the disk is the limit
                sha256 = self._remembered(path) or digest_file(path)
                self._remember(path, sha256)
        return self._facts(folder, name, path, sha256, frozenset(os.listdir(path.parent)))

    def _facts(self, folder: str, name: str, path: Path, sha256: str, beside: frozenset[str]) -> ModelFile:
        facts = path.stat()
        has_picture = _picture_name(path, beside) is not None
        return ModelFile(folder, name, facts.st_size, facts.st_mtime, sha256, has_picture)

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


def _picture_name(path: Path, names: frozenset[str]) -> str | None:
    """The name of a model's picture among those of its folder."""
    wanted = (path.stem + suffix for suffix in PICTURE_SUFFIXES)
    return next((name for name in wanted if name in names and name != path.name), None)
