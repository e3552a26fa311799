"""The files, settings and names of users below the user folder. Blocks on the disk: call it in a thread."""

from __future__ import annotations

import json
import os
import re
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.core.containment import check_relative_name, open_inside, resolve_inside
from engine.core.errors import ConflictError, ContainmentError, GraphError, NotFoundError
from engine.core.folders import Folders
from engine.server.durable_files import write_durably

__all__ = ["DEFAULT_USER", "UnknownUser", "UserFiles"]

DEFAULT_USER = "default"
_SETTINGS = "comfy.settings.json"
_USERS = "users.json"
_NOT_IN_ID = re.compile(r"[^A-Za-z0-9_-]+")


class UnknownUser(NotFoundError):
    """The request names a user that does not exist."""

    code = "unknown_user"


class UserFiles:
    """Reads and writes below `<user folder>/<user id>`; the server's own state beside it cannot be named."""

    def __init__(self, folders: Folders, *, is_multi_user: bool) -> None:
        self._folders = folders
        self.is_multi_user = is_multi_user
        self._lock = threading.Lock()

    # ------------------------------------------------------------------ users

    def users(self) -> dict[str, str]:
        """Names by id."""
        if not self.is_multi_user:
            return {}
        return {key: str(name) for key, name in _read_object(self._folders.user / _USERS).items()}

    def add_user(self, name: str) -> str:
        """Create a user; gives the new id. Raises ConflictError when the name is taken, GraphError when it is blank."""
        plain = name.strip()
        if not plain or len(plain) > 200:
            raise GraphError("The user name is empty or too long.", code="bad_user_name")
        with self._lock:
            users = self.users()
            if plain in users.values():
                raise ConflictError("Duplicate username.", code="duplicate_user")
            user = f"{_NOT_IN_ID.sub('-', plain)}_{uuid.uuid4()}"
            self._folders.user.mkdir(parents=True, exist_ok=True)
            write_durably(self._folders.user / _USERS, json.dumps({**users, user: plain}).encode())
        return user

    def user_of(self, header: str | None) -> str:
        """The id a request acts for. Raises UnknownUser (only with several users)."""
        if not self.is_multi_user:
            return DEFAULT_USER
        user = header or DEFAULT_USER
        if user not in self.users() or user.startswith("."):
            raise UnknownUser(f"There is no user {user[:100]!r}.")
        return user

    def root(self, user: str) -> Path:
        """The folder of a user."""
        return resolve_inside(self._folders.user, user)

    # ------------------------------------------------------------------ files

    def path(self, user: str, name: str) -> Path:
        """The path of a user's file. Raises ContainmentError for names that lead elsewhere or into server state."""
        plain = check_relative_name(name)
        if not plain.strip("/") or plain.endswith("/"):
            raise ContainmentError("The path names no file.")
        path = resolve_inside(self.root(user), plain)
        state = Path(os.path.realpath(self._folders.data))
        if path == state or state in path.parents:
            raise ContainmentError(f"{name!r} leads outside its folder.")
        return path

    def read(self, user: str, name: str) -> bytes:
        """The bytes of a file. Raises NotFoundError, ContainmentError."""
        self.path(user, name)
        try:
            with open_inside(self.root(user), name) as stream:
                return stream.read()
        except (FileNotFoundError, NotADirectoryError):
            raise NotFoundError(f"There is no file {name[:200]!r}.") from None

    def write(self, user: str, name: str, data: bytes, *, overwrite: bool = True) -> Path:
        """Store a file, whole or not at all. Raises ConflictError when it exists and must not be replaced."""
        path = self.path(user, name)
        with self._lock:
            if path.exists() and not overwrite:
                raise ConflictError(f"{name[:200]!r} exists.", code="file_exists")
            self._make_room(path, name)
            write_durably(path, data)
        return path

    def delete(self, user: str, name: str) -> None:
        """Remove a file. Raises NotFoundError."""
        path = self.path(user, name)
        if not path.is_file():
            raise NotFoundError(f"There is no file {name[:200]!r}.")
        path.unlink()

    def move(self, user: str, name: str, target: str, *, overwrite: bool = True) -> Path:
        """Rename a file. Raises NotFoundError, ConflictError, ContainmentError."""
        source, destination = self.path(user, name), self.path(user, target)
        with self._lock:
            if not source.is_file():
                raise NotFoundError(f"There is no file {name[:200]!r}.")
            if destination.exists() and not overwrite:
                raise ConflictError(f"{target[:200]!r} exists.", code="file_exists")
            self._make_room(destination, target)
            os.replace(source, destination)
        return destination

    def _make_room(self, path: Path, name: str) -> None:
        if path.is_dir():
            raise GraphError(f"{name[:200]!r} is a folder.", code="bad_file_name")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise GraphError(f"{name[:200]!r} lies below a file.", code="bad_file_name") from None

    # ------------------------------------------------------------------ listings

    def folder(self, user: str, name: str) -> Path:
        """A folder of the user. Raises NotFoundError, ContainmentError."""
        path = resolve_inside(self.root(user), name)
        if not path.is_dir():
            raise NotFoundError(f"There is no folder {name[:200]!r}.")
        return path

    def files(self, folder: Path, *, recurse: bool) -> Iterator[Path]:
        """Regular files of a folder in order of their names; links are not followed."""
        for where, subfolders, names in os.walk(folder, followlinks=False):
            subfolders[:] = sorted(subfolders) if recurse else []
            for name in sorted(names):
                path = Path(where, name)
                if path.is_file() and not path.is_symlink():
                    yield path

    def folders(self, folder: Path) -> Iterator[Path]:
        """All folders below a folder; links are not followed."""
        for where, subfolders, _ in os.walk(folder, followlinks=False):
            yield from (Path(where, name) for name in sorted(subfolders) if not Path(where, name).is_symlink())

    def facts(self, user: str, path: Path, relative_to: Path | None = None) -> dict[str, Any]:
        """{path, size, modified, created} of a file."""
        facts = path.stat()
        return {
            "path": path.relative_to(relative_to or self.root(user)).as_posix(),
            "size": facts.st_size,
            "modified": int(facts.st_mtime * 1000),
            "created": int(facts.st_ctime * 1000),
        }

    # ------------------------------------------------------------------ settings

    def settings(self, user: str) -> dict[str, Any]:
        """All stored settings."""
        return _read_object(self.root(user) / _SETTINGS)

    def change_settings(self, user: str, changes: Mapping[str, Any]) -> None:
        """Merge settings into the stored ones."""
        with self._lock:
            root = self.root(user)
            root.mkdir(parents=True, exist_ok=True)
            merged = {**self.settings(user), **changes}
            write_durably(root / _SETTINGS, json.dumps(merged, indent=4).encode())


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
