"""`folder_paths`: where models, inputs and outputs are, for packs."""

from __future__ import annotations

import mimetypes
import os
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Literal

from engine.compat.comfyui.worker.file_lists import FileList
from engine.compat.comfyui.worker.host import Host
from engine.compat.comfyui.worker.standins.module import StandIn
from engine.core.containment import resolve_inside
from engine.core.errors import ContainmentError
from engine.core.folders import MODEL_EXTENSIONS, ModelFolder, split_annotation

__all__ = ["FolderPaths", "build"]

_OLD_KEYS = {"unet": "diffusion_models", "clip": "text_encoders"}


def build(host: Host) -> StandIn:
    """The stand-in module for the folders of `host`."""
    paths = FolderPaths(host)
    folders = host.settings.folders
    names = [name for name in dir(FolderPaths) if not name.startswith("_")]
    module = StandIn(
        "folder_paths",
        "Folders of this installation.",
        base_path=str(folders.base),
        models_dir=str(folders.base / "models"),
        output_directory=str(folders.output),
        temp_directory=str(folders.temp),
        input_directory=str(folders.input),
        user_directory=str(folders.user),
        supported_pt_extensions=paths.extensions,
        folder_names_and_paths=paths.table,
        filename_list_cache={},
        **{name: getattr(paths, name) for name in names if callable(getattr(paths, name))},
    )
    # Packs find the installation's root beside this file.
    module.__file__ = str(folders.base / "folder_paths.py")
    return module


class FolderPaths:
    """The functions of the module, over a table that packs extend in place."""

    def __init__(self, host: Host) -> None:
        folders = host.settings.folders
        self._folders = folders
        self._initial = {key: _listed_paths(folder) for key, folder in folders.models.items()}
        self._own_directories: dict[str, str] = {}
        self.extensions = set(MODEL_EXTENSIONS)
        self.table: dict[str, tuple[list[str], set[str]]] = {
            key: (list(map(str, folder.paths)), set(folder.extensions)) for key, folder in folders.models.items()
        }

    # ------------------------------------------------------------------ working folders

    def get_output_directory(self) -> str:
        """The output folder."""
        return self._own_directories.get("output", str(self._folders.output))

    def get_temp_directory(self) -> str:
        """The temp folder."""
        return self._own_directories.get("temp", str(self._folders.temp))

    def get_input_directory(self) -> str:
        """The input folder."""
        return self._own_directories.get("input", str(self._folders.input))

    def get_user_directory(self) -> str:
        """The user folder."""
        return str(self._folders.user)

    def get_system_user_directory(self, name: str = "system") -> str:
        """A folder for a pack's own state below the user folder, never served over HTTP."""
        return str(resolve_inside(self._folders.data, f"packs/{name}"))

    def get_public_user_directory(self, user_id: str) -> str | None:
        """The folder of a user, or None for a name that is no plain folder name."""
        try:
            return str(resolve_inside(self._folders.user, user_id))
        except ContainmentError:
            return None

    def get_directory_by_type(self, type_name: str) -> str | None:
        """The folder called output, temp or input; None for other words."""
        known = {
            "output": self.get_output_directory,
            "temp": self.get_temp_directory,
            "input": self.get_input_directory,
        }
        return known[type_name]() if type_name in known else None

    def annotated_filepath(self, name: str) -> tuple[str, str | None]:
        """Split `x.png [output]` into the name and its folder (None without an ending)."""
        bare, kind = split_annotation(name, "")
        return bare, self.get_directory_by_type(kind) if kind else None

    def get_annotated_filepath(self, name: str, default_dir: str | None = None) -> str:
        """The path of a possibly annotated name. Raises ContainmentError for names that leave the folder."""
        bare, folder = self.annotated_filepath(name)
        root = folder or default_dir or self.get_input_directory()
        return str(resolve_inside(Path(root), bare))

    def exists_annotated_filepath(self, name: str) -> bool:
        """Whether the file of a possibly annotated name exists (false for names that leave the folder)."""
        try:
            return os.path.exists(self.get_annotated_filepath(name))
        except ContainmentError:
            return False

    # ------------------------------------------------------------------ model folders

    def map_legacy(self, folder_name: str) -> str:
        """The current key for an old one (`unet`, `clip`)."""
        return _OLD_KEYS.get(folder_name, folder_name)

    def get_folder_paths(self, folder_name: str) -> list[str]:
        """Search folders of a key. Raises KeyError for an unknown one."""
        return self.table[self.map_legacy(folder_name)][0][:]

    def add_model_folder_path(self, folder_name: str, full_folder_path: str, is_default: bool = False) -> None:
        """Add a search folder (in front when `is_default`); a new key takes every file."""
        key = self.map_legacy(folder_name)
        paths = self.table.setdefault(key, ([], set()))[0]
        if full_folder_path in paths:
            paths.remove(full_folder_path)
        paths.insert(0 if is_default else len(paths), full_folder_path)

    def get_filename_list(self, folder_name: str) -> list[str]:
        """Sorted relative names of a key's files. Raises KeyError for an unknown key."""
        key = self.map_legacy(folder_name)
        paths, extensions = self.table[key]
        folder = ModelFolder(tuple(map(Path, paths)), frozenset(extensions))
        names = self._folders.with_model_paths(key, ()).model_names(key) if self._is_initial(key) else _names(folder)
        return FileList(names, key) if self._is_initial(key) else list(names)

    def get_full_path(self, folder_name: str, filename: str) -> str | None:
        """The first file of that name in a key's folders, or None. Names cannot leave the folders."""
        relative = os.path.relpath(os.path.join("/", str(filename)), "/")
        for root in self.get_folder_paths(folder_name):
            candidate = os.path.join(root, relative)
            if os.path.isfile(candidate):
                return candidate
        return None

    def get_full_path_or_raise(self, folder_name: str, filename: str) -> str:
        """As `get_full_path`; raises FileNotFoundError when there is none."""
        found = self.get_full_path(folder_name, filename)
        if found is None:
            raise FileNotFoundError(f"There is no {folder_name} file named {filename!r}.")
        return found

    def _is_initial(self, key: str) -> bool:
        """Whether the server knows the same folders for this key (no pack changed them)."""
        paths, extensions = self.table[key]
        return self._initial.get(key) == (tuple(paths), frozenset(extensions))

    # ------------------------------------------------------------------ listings

    def recursive_search(
        self, directory: str, excluded_dir_names: Collection[str] | None = None
    ) -> tuple[list[str], dict[str, float]]:
        """Relative names of all files below a folder, and the modification time of each folder."""
        if not os.path.isdir(directory):
            return [], {}
        skip = set(excluded_dir_names or ())
        files: list[str] = []
        times = {directory: os.path.getmtime(directory)}
        for folder, subfolders, names in os.walk(directory, followlinks=True):
            subfolders[:] = [name for name in subfolders if name not in skip]
            files.extend(os.path.relpath(os.path.join(folder, name), directory) for name in names)
            times.update({path: os.path.getmtime(path) for path in (os.path.join(folder, sub) for sub in subfolders)})
        return files, times

    def filter_files_extensions(self, files: Iterable[str], extensions: Collection[str]) -> list[str]:
        """Sorted names with one of the extensions (all when there are none)."""
        return sorted(name for name in files if not extensions or os.path.splitext(name)[1].lower() in extensions)

    def filter_files_content_types(
        self, files: Iterable[str], content_types: Iterable[Literal["image", "video", "audio", "model"]]
    ) -> list[str]:
        """The names whose media type is one of the kinds."""
        kinds = set(content_types)
        return [name for name in files if _content_type(name) in kinds]

    # ------------------------------------------------------------------ saving

    def get_save_image_path(
        self, filename_prefix: str, output_dir: str, image_width: int = 0, image_height: int = 0
    ) -> tuple[str, str, int, str, str]:
        """(folder, file prefix, next counter, subfolder, prefix): where a saver writes its next file.

        Replaces %width% %height% and the time tokens; creates the folder. Raises ContainmentError when the prefix
        leaves `output_dir`.
        """
        prefix = _replace_tokens(filename_prefix, image_width, image_height)
        subfolder = os.path.dirname(os.path.normpath(prefix))
        filename = os.path.basename(os.path.normpath(prefix))
        folder = resolve_inside(Path(output_dir), subfolder)
        folder.mkdir(parents=True, exist_ok=True)
        numbers = [_counter(name, filename) for name in os.listdir(folder)]
        return str(folder), filename, max(numbers, default=0) + 1, subfolder, prefix

    def set_output_directory(self, output_dir: str) -> None:
        """Use another output folder in this worker's packs."""
        self._own_directories["output"] = output_dir

    def set_temp_directory(self, temp_dir: str) -> None:
        """Use another temp folder in this worker's packs."""
        self._own_directories["temp"] = temp_dir

    def set_input_directory(self, input_dir: str) -> None:
        """Use another input folder in this worker's packs."""
        self._own_directories["input"] = input_dir


def _listed_paths(folder: ModelFolder) -> tuple[tuple[str, ...], frozenset[str]]:
    return tuple(map(str, folder.paths)), folder.extensions


def _names(folder: ModelFolder) -> list[str]:
    found: set[str] = set()
    for root in folder.paths:
        for where, subfolders, names in os.walk(root, followlinks=True):
            subfolders[:] = [name for name in subfolders if name != ".git"]
            for name in names:
                if not folder.extensions or os.path.splitext(name)[1].lower() in folder.extensions:
                    found.add(os.path.relpath(os.path.join(where, name), root))
    return sorted(found)


def _content_type(name: str) -> str:
    suffix = os.path.splitext(name)[1].lower()
    if suffix in (".gltf", ".glb", ".obj", ".fbx", ".stl"):
        return "model"
    if suffix == ".webp":
        return "image"
    return str(mimetypes.guess_type(name, strict=False)[0] or "").split("/")[0]


def _replace_tokens(text: str, width: int, height: int) -> str:
    now = time.localtime()
    tokens: dict[str, Any] = {
        "width": width, "height": height, "year": now.tm_year, "month": f"{now.tm_mon:02}",
        "day": f"{now.tm_mday:02}", "hour": f"{now.tm_hour:02}", "minute": f"{now.tm_min:02}",
        "second": f"{now.tm_sec:02}",
    }  # fmt: skip
    if "%" in text:
        for token, value in tokens.items():
            text = text.replace(f"%{token}%", str(value))
    return text


def _counter(name: str, prefix: str) -> int:
    start = os.path.normcase(prefix) + "_"
    if not os.path.normcase(name).startswith(start):
        return 0
    digits = name[len(start) :].split("_")[0]
    return int(digits) if digits.isascii() and digits.isdigit() else 0
