"""Files sent by clients: streamed to disk with a limit, then given a name without replacing anybody's file."""

from __future__ import annotations

import asyncio
import hashlib
import os
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from engine.core.containment import check_relative_name, resolve_inside
from engine.core.digest import digest_file
from engine.core.errors import ContainmentError, UploadRefused
from engine.core.folders import Folders
from engine.server.outputs import copy_over, link_exclusively

__all__ = ["UploadedFile", "Uploads"]

_MAX_NAME_BYTES = 200
_MAX_TRIES = 10_000


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """Where an upload ended up: name and subfolder below the folder `type`; `digest` is SHA-256 in hex."""

    name: str
    subfolder: str
    type: str
    digest: str
    size_bytes: int


class Uploads:
    """Takes files into the input (or temp, output) folder."""

    def __init__(self, folders: Folders, max_bytes: int) -> None:
        self._folders = folders
        self._max_bytes = max_bytes
        self._incoming = folders.data / "uploads"
        self._naming = asyncio.Lock()

    async def save(
        self,
        chunks: AsyncIterator[bytes],
        filename: str,
        *,
        subfolder: str = "",
        folder: str = "input",
        overwrite: bool = False,
    ) -> UploadedFile:
        """Store a file. An equal file of that name is reused; another one gives `name (1).png` unless `overwrite`.

        Raises ContainmentError for names that lead elsewhere, NotFoundError for another folder than input, output or
        temp, UploadRefused (code upload_too_large) above the limit.
        """
        target = self._target(folder, subfolder, filename)
        part, digest, size_bytes = await self._receive(chunks)
        try:
            async with self._naming:
                final = await asyncio.to_thread(_give_name, part, target, digest, overwrite)
        finally:
            part.unlink(missing_ok=True)
        clean = "/".join(piece for piece in check_relative_name(subfolder).split("/") if piece not in ("", "."))
        return UploadedFile(final.name, clean, folder, digest, size_bytes)

    def _target(self, folder: str, subfolder: str, filename: str) -> Path:
        root = self._folders.root(folder)
        name = check_relative_name(filename)
        base = name.rpartition("/")[2]
        if base in ("", ".") or len(os.fsencode(base)) > _MAX_NAME_BYTES or base != base.strip() or base.endswith("."):
            raise ContainmentError(f"{filename[:100]!r} is not a file name.", hint="Use a plain, shorter name.")
        check_relative_name(subfolder)
        return resolve_inside(root, f"{subfolder}/{name}".lstrip("/"))

    async def _receive(self, chunks: AsyncIterator[bytes]) -> tuple[Path, str, int]:
        self._incoming.mkdir(parents=True, exist_ok=True)
        part = self._incoming / f"{uuid.uuid4().hex}.part"
        state, size_bytes = hashlib.sha256(), 0
        try:
            with part.open("xb") as stream:
                async for chunk in chunks:
                    size_bytes += len(chunk)
                    if size_bytes > self._max_bytes:
                        raise UploadRefused(
                            f"The file is larger than {self._max_bytes} bytes.",
                            code="upload_too_large",
                            hint="Raise --max-upload-size or send a smaller file.",
                        )
                    state.update(chunk)
                    await asyncio.to_thread(stream.write, chunk)
                stream.flush()
                await asyncio.to_thread(os.fsync, stream.fileno())
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return part, state.hexdigest(), size_bytes


def _give_name(part: Path, target: Path, digest: str, overwrite: bool) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ContainmentError(f"{target.parent.name!r} is a file.", hint="Use another folder name.") from None
    if target.is_dir():
        raise ContainmentError(f"{target.name!r} is a folder.", hint="Use another name.")
    if overwrite:
        copy_over(part, target)
        return target
    for number in range(_MAX_TRIES):
        candidate = target if number == 0 else target.with_name(f"{target.stem} ({number}){target.suffix}")
        if candidate.is_file() and candidate.stat().st_size == part.stat().st_size and digest_file(candidate) == digest:
            return candidate
        if link_exclusively(part, candidate):
            return candidate
    raise UploadRefused(f"There are too many files named like {target.name!r}.", hint="Use another name.")
