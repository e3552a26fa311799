"""What files a FileChoices input offers right now: model folders and the input, output and temp folders."""

from __future__ import annotations

import copy
import fnmatch
import mimetypes
import os
from pathlib import Path

from engine.core.containment import resolve_inside
from engine.core.errors import ContainmentError, NotFoundError
from engine.core.folders import Folders
from engine.graph.schema import FOLDERS, FileChoices

__all__ = ["FileLister"]

_WORKING = ("input", "output", "temp")
_MEDIA = ("image", "video", "audio", "model")


class FileLister:
    """Lists folders freshly at each call; `remembering()` gives one that reads each folder once, for one request."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._types = mimetypes.MimeTypes()  # the built-in table alone: equal on every machine
        for extension, kind in ((".webp", "image/webp"), (".avif", "image/avif"), (".jxl", "image/jxl"),
                                (".opus", "audio/opus"), (".flac", "audio/flac"), (".m4a", "audio/mp4"),
                                (".ogg", "audio/ogg"), (".mkv", "video/x-matroska")):  # fmt: skip
            self._types.add_type(kind, extension)
        self._memory: dict[tuple[str, str], list[str]] | None = None

    def remembering(self) -> FileLister:
        """A lister that reads every folder at most once."""
        lister = copy.copy(self)
        lister._memory = {}
        return lister

    def __call__(self, choices: FileChoices) -> list[str]:
        """The names offered: files, then the fixed entries. Unknown folders offer the fixed entries only."""
        key = (choices.folder, choices.media)
        names = self._memory.get(key) if self._memory is not None else None
        if names is None:
            names = self._list(choices)
            if self._memory is not None:
                self._memory[key] = names
        return [*names, *(name for name in choices.also if name not in names)]

    def exists(self, folder: str, name: str) -> bool:
        """Whether the input, output or temp folder has a file of that relative name."""
        try:
            return resolve_inside(self._folders.root(folder), name).is_file()
        except (ContainmentError, NotFoundError, OSError):
            return False

    def _list(self, choices: FileChoices) -> list[str]:
        if choices.folder not in _WORKING:
            try:
                return self._folders.model_names(choices.folder)
            except NotFoundError:
                return []
        if choices.media == FOLDERS:
            return _top_level_folders(self._folders.root(choices.folder))
        names = _top_level_files(self._folders.root(choices.folder))
        return [name for name in names if self._fits(name, choices.media)]

    def _fits(self, name: str, media: str) -> bool:
        if not media:
            return True
        if media in _MEDIA:
            kind = self._types.guess_type(name)[0] or ""
            return kind.startswith(f"{media}/")
        return fnmatch.fnmatch(name.lower(), media.lower())


def _top_level_folders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _top_level_files(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return []
