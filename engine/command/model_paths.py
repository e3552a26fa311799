"""`extra_model_paths.yaml`: further search folders for models, in the form ComfyUI users already have."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from engine.core.errors import SettingsError
from engine.core.folders import Folders

__all__ = ["read_extra_model_paths"]

_RENAMED = {"unet": "diffusion_models", "clip": "text_encoders"}
_RESERVED = frozenset({"base_path", "is_default"})


def read_extra_model_paths(file: Path, folders: Folders) -> Folders:
    """`folders` with the search folders of `file` added.

    The file maps section names to {base_path?, is_default?, <model kind>: one path a line}. Relative paths start at
    base_path, and that one at the folder of the file; `~` and environment variables are expanded. With is_default the
    section's folders are searched first. Raises SettingsError naming file and section.
    """
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}.", hint="Check the path of the file.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not valid YAML: {error}") from error
    if document is None:
        return folders
    if not isinstance(document, dict):
        raise SettingsError(f"{file} must map section names to folders.")
    for section, entries in document.items():
        if entries is not None:
            folders = _add_section(file, str(section), entries, folders)
    return folders


def _add_section(file: Path, section: str, entries: Any, folders: Folders) -> Folders:
    if not isinstance(entries, dict):
        raise SettingsError(f"{file}: section {section} must map model kinds to paths.")
    base = file.absolute().parent / _expand(str(entries.get("base_path") or ""))
    for kind, text in entries.items():
        if kind in _RESERVED or text is None:
            continue
        if not isinstance(text, str):
            raise SettingsError(f"{file}: {section}.{kind} must be text with one path a line.")
        paths = [base / _expand(line.strip()) for line in text.splitlines() if line.strip()]
        name = _RENAMED.get(str(kind), str(kind))
        if name == "custom_nodes":
            folders = replace(folders, custom_nodes=folders.custom_nodes + tuple(paths))
        folders = folders.with_model_paths(name, paths, first=bool(entries.get("is_default")))
    return folders


def _expand(text: str) -> str:
    return os.path.expandvars(os.path.expanduser(text))
