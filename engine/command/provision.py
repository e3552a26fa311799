"""Creates the folders of an installation and, where no checkpoint is present, puts the starter model there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from engine.core.errors import SettingsError
from engine.core.folders import Folders

__all__ = ["STARTER_CHECKPOINT", "make_folders", "provision"]

STARTER_CHECKPOINT = "starter.safetensors"
"""The model that the example workflows name; it is part of the project."""
_ROOT = Path(__file__).resolve().parent.parent.parent


def provision(folders: Folders) -> None:
    """Make what a first start needs: folders, example pictures, and a checkpoint for the example workflow."""
    make_folders(folders)
    _copy_examples(folders)
    _share_starter(folders)


def make_folders(folders: Folders) -> None:
    """Create every working and model folder. Raises SettingsError naming the folder that cannot be made."""
    wanted = [folders.input, folders.output, folders.temp, folders.user, folders.data, *folders.custom_nodes]
    wanted += [folder.paths[0] for folder in folders.models.values() if folder.paths]
    for path in wanted:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(
                f"The folder {path} cannot be created: {error.strerror}.", hint="Choose another with --base-directory."
            ) from error


def _copy_examples(folders: Folders) -> None:
    """The pictures the example workflows use, when the input folder is not the one they ship in."""
    for example in (_ROOT / "input").glob("example_*"):
        target = folders.input / example.name
        if not target.exists():
            target.write_bytes(example.read_bytes())


def _share_starter(folders: Folders) -> None:
    """The shipped model, when the checkpoint folders are not the ones it ships in and hold nothing else."""
    shipped = _ROOT / "models" / "checkpoints" / STARTER_CHECKPOINT
    if folders.model_names("checkpoints") or not shipped.is_file():
        return
    target = folders.models["checkpoints"].paths[0] / STARTER_CHECKPOINT
    try:
        os.link(shipped, target)
    except OSError:
        # Another file system, or one without links.
        shutil.copyfile(shipped, target)
