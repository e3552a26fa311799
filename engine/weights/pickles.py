"""Pickled checkpoints (`.ckpt`, `.pt`, `.pth`, `.bin`): scanned, then converted to safetensors in a child process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.core.errors import CheckpointError
from engine.weights.converted_files import evict, note_use
from engine.weights.pickle_scan import is_pickle_file, scan_pickle_file

__all__ = ["ConversionPolicy", "converted_file", "is_pickle_file"]

_CHILD = Path(__file__).with_name("pickle_child.py")
_KEPT_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "LANG")


@dataclass(frozen=True, slots=True)
class ConversionPolicy:
    """How pickled files are opened.

    folder: where converted files are kept; made when needed. A file is converted once for each of its versions.
    allow_unusual: convert files that name unusual classes as well; those become objects that do nothing.
    timeout_s: when a conversion is given up.
    max_bytes: how much is kept; beyond it the files not used for longest are deleted, but for those that are open.
    """

    folder: Path
    allow_unusual: bool = False
    timeout_s: float = 900.0
    max_bytes: int = 32 << 30


def converted_file(path: Path, version: str, policy: ConversionPolicy) -> Path:
    """The safetensors twin of a pickled file, made if `version` was not converted before.

    Raises CheckpointError: refused by the scan, or not convertible (damaged, no tensors, took too long).
    """
    target = policy.folder / f"{version}.safetensors"
    scan = scan_pickle_file(path)
    if scan.unusual and not policy.allow_unusual:
        names = ", ".join(sorted(scan.unusual)[:5])
        raise CheckpointError(
            f"{path.name} is a pickle that would import {names}; such files can run programs.",
            code="pickle_refused",
            hint="Use a safetensors file of this model, or start with unsafe pickles allowed if you trust its source.",
            details={"globals": sorted(scan.unusual)[:50]},
        )
    if not target.exists():
        policy.folder.mkdir(parents=True, exist_ok=True)
        _convert(path, target, scan.globals, policy.timeout_s)
    note_use(target)
    evict(policy.folder, policy.max_bytes)
    return target


def _convert(path: Path, target: Path, names: Iterable[str], timeout_s: float) -> None:
    """Run the child without the parent's environment, so that nothing secret is there to be read."""
    environment = {key: os.environ[key] for key in _KEPT_ENVIRONMENT if key in os.environ}
    environment["CUDA_VISIBLE_DEVICES"] = ""
    order = {"source": str(path), "target": str(target), "names": sorted(names)}
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(_CHILD)],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            env=environment,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CheckpointError(
            f"Converting {path.name} took more than {timeout_s:g} s.",
            code="pickle_refused",
            hint="Convert it elsewhere.",
        ) from error
    if done.returncode or not target.exists():
        reason = (done.stderr.strip().splitlines() or [f"the converter ended with {done.returncode}"])[-1]
        raise CheckpointError(
            f"{path.name} could not be converted: {reason[:500]}",
            code="pickle_refused",
            hint="The file is damaged or holds more than tensors; use a safetensors file of this model.",
        )
