"""States of a run on disk: complete or not there, the newest readable one found again."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.core.errors import AtelierError

__all__ = ["TrainingState", "newest_state", "save_state"]

_log = logging.getLogger(__name__)
_NAME = re.compile(r"step-(\d+)\.ckpt")
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class TrainingState:
    """A run after `step` optimizer steps: trained weights, their average, the optimizer's state; tensors on the CPU."""

    step: int
    weights: Mapping[str, Any]
    ema: Mapping[str, Any] | None
    optimizer: Mapping[str, Any]


def save_state(folder: Path, state: TrainingState, *, keeps: int) -> Path:
    """Write a state durably and remove all but the newest `keeps`.

    The bytes are on disk before the file gets its name, so a killed process leaves whole files only.
    """
    import torch

    path = folder / f"step-{state.step:09d}.ckpt"
    partial = folder / f".{path.name}.{os.getpid()}.partial"
    record = {"format": _FORMAT, "step": state.step, "weights": dict(state.weights)}
    record |= {"ema": None if state.ema is None else dict(state.ema), "optimizer": dict(state.optimizer)}
    try:
        with partial.open("wb") as stream:
            torch.save(record, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
        _sync_folder(folder)
    finally:
        partial.unlink(missing_ok=True)
    for stale in _states(folder)[max(1, keeps) :]:
        stale.unlink(missing_ok=True)
    for left in folder.glob(".*.partial"):
        left.unlink(missing_ok=True)
    return path


def newest_state(folder: Path) -> TrainingState | None:
    """The newest state that can be read; None when there is none at all.

    Raises AtelierError when there are files and none can be read.
    """
    import torch

    found = _states(folder)
    for path in found:
        try:
            record = torch.load(path, map_location="cpu", weights_only=True)
            if record["format"] != _FORMAT:
                raise ValueError(f"format {record['format']}")
            return TrainingState(record["step"], record["weights"], record["ema"], record["optimizer"])
        except Exception as error:  # noqa: BLE001 - a damaged file raises whatever its bytes lead to
            _log.warning("%s cannot be read (%s); taking the one before", path, error)
    if found:
        raise AtelierError(
            f"None of the {len(found)} checkpoint(s) in {folder} can be read.",
            code="bad_training_state",
            hint="Start the run again in another folder.",
        )
    return None


def _states(folder: Path) -> list[Path]:
    """Files of states, newest first."""
    return sorted((path for path in folder.glob("step-*.ckpt") if _NAME.fullmatch(path.name)), reverse=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable, where folders can be synchronised."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
