"""Creates the folders of an installation and, where no checkpoint is present, the untrained example checkpoint."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from engine.core.errors import SettingsError
from engine.core.folders import Folders

__all__ = ["UNTRAINED_CHECKPOINT", "make_folders", "provision"]

UNTRAINED_CHECKPOINT = "untrained_sd1.safetensors"
_ROOT = Path(__file__).resolve().parent.parent.parent


def provision(folders: Folders) -> None:
    """Make what a first start needs: folders, example pictures, and a checkpoint for the example workflow."""
    make_folders(folders)
    _copy_examples(folders)
    if not folders.model_names("checkpoints"):
        _write_untrained_checkpoint(folders.models["checkpoints"].paths[0] / UNTRAINED_CHECKPOINT)


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


def _write_untrained_checkpoint(path: Path) -> None:
    """Write it in a process of its own: the server process never loads torch."""
    print(f"No checkpoint found: writing a small untrained one, {path.name} (its pictures are noise)", file=sys.stderr)
    code = (
        "import sys; from pathlib import Path; "
        "from engine.families.sd1.untrained import write_untrained_checkpoint; "
        "write_untrained_checkpoint(Path(sys.argv[1]))"
    )
    result = subprocess.run([sys.executable, "-c", code, str(path)], cwd=_ROOT, capture_output=True, text=True)
    if result.returncode != 0:
        raise SettingsError(f"The example checkpoint could not be written: {result.stderr.strip()[-2000:]}")
