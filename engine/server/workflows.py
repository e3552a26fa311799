"""Saved workflows: plain JSON files of the user folder, with versions, and conflicts instead of overwriting."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.core.containment import check_relative_name, resolve_inside
from engine.core.errors import ContainmentError, GraphError, NotFoundError
from engine.core.folders import Folders
from engine.server.durable_files import write_durably
from engine.server.failures import PreconditionFailed

__all__ = ["SavedWorkflow", "WorkflowStore"]

_MAX_VERSIONS = 50
_MAX_NAME_LENGTH = 200


@dataclass(frozen=True, slots=True)
class SavedWorkflow:
    """A saved workflow's facts. `etag` is the digest of its bytes; `version` counts the saves through this store."""

    name: str
    etag: str
    version: int
    size_bytes: int
    modified_s: float


class WorkflowStore:
    """Workflows by name (`folder/name`, without .json). All methods block on the disk; call them in a thread."""

    def __init__(self, folders: Folders) -> None:
        self._root = folders.user / "default" / "workflows"
        self._versions = folders.data / "workflow_versions"
        self._lock = threading.Lock()

    def list(self) -> list[SavedWorkflow]:
        """All saved workflows by name."""
        found = []
        for path in sorted(self._root.rglob("*.json")):
            name = path.relative_to(self._root).with_suffix("").as_posix()
            if path.is_file() and not any(part.startswith(".") for part in path.relative_to(self._root).parts):
                found.append(self._facts(name, path.read_bytes(), path))
        return found

    def get(self, name: str) -> tuple[SavedWorkflow, bytes]:
        """A workflow and its bytes. Raises NotFoundError, ContainmentError."""
        path = self._path(name)
        try:
            data = path.read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise NotFoundError(f"There is no workflow {name[:100]!r}.") from None
        return self._facts(name, data, path), data

    def save(
        self, name: str, workflow: dict[str, Any], *, if_match: str | None = None, if_none_match: bool = False
    ) -> tuple[SavedWorkflow, bool]:
        """Save; (facts, whether it is new). The earlier content stays readable as a version.

        `if_match`: only if the stored one has this etag; `if_none_match`: only if there is none yet. Without either,
        an existing workflow is not replaced. Raises PreconditionFailed, ContainmentError, GraphError.
        """
        path = self._path(name)
        try:
            data = json.dumps(workflow, indent=1, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            data = json.dumps(workflow, indent=1).encode("ascii")
        except (ValueError, RecursionError) as error:
            raise GraphError("The workflow cannot be written as JSON.", code="bad_json") from error
        with self._lock:
            current = path.read_bytes() if path.is_file() else None
            self._check(name, current, if_match, if_none_match)
            if current == data:
                return self._facts(name, data, path), False
            self._keep_version(name, current, data)
            write_durably(path, data)
            return self._facts(name, data, path), current is None

    def _check(self, name: str, current: bytes | None, if_match: str | None, if_none_match: bool) -> None:
        etag = None if current is None else _etag(current)
        if if_match is not None and if_match not in (etag, "*" if etag else None):
            stored = "It is gone." if etag is None else "Somebody saved it meanwhile."
            raise PreconditionFailed(
                f"The workflow {name!r} is not the one you opened. {stored}",
                hint="Load the stored one and merge, or save under another name.",
                details={"etag": etag},
            )
        if etag is not None and (if_none_match or if_match is None):
            raise PreconditionFailed(
                f"There is a workflow {name!r} already.",
                hint="Send its ETag as If-Match to replace it, or save under another name.",
                details={"etag": etag},
            )

    def delete(self, name: str, if_match: str | None = None) -> None:
        """Remove a workflow; its versions stay. Raises NotFoundError, PreconditionFailed."""
        path = self._path(name)
        with self._lock:
            facts, data = self.get(name)
            if if_match is not None and if_match not in (facts.etag, "*"):
                raise PreconditionFailed(f"The workflow {name!r} is not the one you opened.")
            self._keep_version(name, data, b"")
            path.unlink()

    def versions(self, name: str) -> list[SavedWorkflow]:
        """The kept versions, oldest first. Raises NotFoundError when nothing was ever saved under that name."""
        self._path(name)
        found = []
        for number, path in self._version_files(name):
            data = path.read_bytes()
            found.append(SavedWorkflow(name, _etag(data), number, len(data), path.stat().st_mtime))
        if not found:
            self.get(name)
        return found

    def get_version(self, name: str, version: int) -> bytes:
        """The bytes of one version. Raises NotFoundError."""
        self._path(name)
        for number, path in self._version_files(name):
            if number == version:
                return path.read_bytes()
        raise NotFoundError(f"The workflow {name[:100]!r} has no version {version}.")

    # ------------------------------------------------------------------ files

    def _path(self, name: str) -> Path:
        plain = check_relative_name(name)
        parts = plain.split("/")
        if len(name) > _MAX_NAME_LENGTH or any(not part.strip(". ") or part.startswith(".") for part in parts):
            raise ContainmentError(f"{name[:100]!r} is not a workflow name.", hint="Use letters, digits and spaces.")
        return resolve_inside(self._root, f"{plain}.json")

    def _version_folder(self, name: str) -> Path:
        return self._versions / hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()

    def _version_files(self, name: str) -> list[tuple[int, Path]]:
        files = self._version_folder(name).glob("*.json")
        return sorted((int(path.stem), path) for path in files if path.stem.isdigit())

    def _keep_version(self, name: str, current: bytes | None, data: bytes) -> None:
        """Store what is about to become the newest version (and the old one, if it came from elsewhere)."""
        kept = self._version_files(name)
        number = kept[-1][0] if kept else 0
        if current is not None and (not kept or kept[-1][1].read_bytes() != current):
            number += 1
            write_durably(self._version_folder(name) / f"{number}.json", current)
        if data:
            write_durably(self._version_folder(name) / f"{number + 1}.json", data)
        for _, path in self._version_files(name)[:-_MAX_VERSIONS]:
            path.unlink(missing_ok=True)

    def _facts(self, name: str, data: bytes, path: Path) -> SavedWorkflow:
        kept = self._version_files(name)
        return SavedWorkflow(name, _etag(data), kept[-1][0] if kept else 0, len(data), os.stat(path).st_mtime)


def _etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
