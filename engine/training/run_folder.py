"""The folder of a run: its configuration, versions, metrics, checkpoints, samples and log."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from engine.training.config.error import ConfigError
from engine.training.config.merge import read_config

__all__ = ["RunFolder"]

_CONFIG = "config.yaml"
_FREE_TO_CHANGE = ("trainer", "samples", "validation", "export", "data.num_workers")
"""What a resumed run may do differently without becoming another run."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """config.yaml (every default written out) · run.jsonl (starts: versions, data digest) · metrics.jsonl ·
    report.json (what was measured at the end) · log.txt · checkpoints/ · samples/ · tensorboard/."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Where states of the run are saved."""
        return self.path / "checkpoints"

    @property
    def samples(self) -> Path:
        """Where grids of samples go."""
        return self.path / "samples"

    @property
    def has_checkpoints(self) -> bool:
        """Whether there is something to continue."""
        return any(self.checkpoints.glob("*.ckpt"))

    @property
    def config(self) -> dict[str, Any]:
        """The stored configuration. Raises ConfigError when there is none."""
        return read_config([self.path / _CONFIG])

    def begin(self, config: Mapping[str, Any], *, resumes: bool) -> None:
        """Make the folder, or take it up again.

        Raises ConfigError: it holds checkpoints and nobody said `resumes`, or the configuration is of another run.
        """
        if self.has_checkpoints:
            if not resumes:
                raise ConfigError(
                    f"{self.path} holds a run already.", hint="Continue it with --resume, or name another folder."
                )
            self._check_same(config)
        for folder in (self.path, self.checkpoints, self.samples):
            folder.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
        partial = self.path / f".{_CONFIG}.partial"
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, self.path / _CONFIG)

    def record_start(self, facts: Mapping[str, Any]) -> None:
        """Note a start of the run: when, with which versions, and these facts."""
        import pytorch_lightning
        import torch

        versions = {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "pytorch_lightning": pytorch_lightning.__version__,
        }
        record = {"time": _now(), "versions": versions, "platform": platform.platform(), "arguments": sys.argv[1:]}
        self._append("run.jsonl", {**record, **facts})

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Note measurements after this many steps."""
        self._append("metrics.jsonl", {"step": step, **values})

    def report(self, facts: Mapping[str, Any]) -> None:
        """Add facts about the finished run to report.json."""
        path = self.path / "report.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        partial = self.path / ".report.json.partial"
        partial.write_text(json.dumps({**known, **facts}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(partial, path)

    def note(self, text: str) -> None:
        """A line of the log."""
        with (self.path / "log.txt").open("a", encoding="utf-8") as stream:
            stream.write(f"{_now()} {text}\n")

    def _append(self, name: str, record: Mapping[str, Any]) -> None:
        with (self.path / name).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")

    def _check_same(self, config: Mapping[str, Any]) -> None:
        different = [
            key for key in _differences(self.config, config, "")
            if not any(key == free or key.startswith(f"{free}.") for free in _FREE_TO_CHANGE)
        ]  # fmt: skip
        if different:
            raise ConfigError(
                f"The run in {self.path} has another configuration: {', '.join(different[:5])}.",
                hint=f"A run can only change {', '.join(_FREE_TO_CHANGE)}; start another run for the rest.",
            )


def _differences(old: Any, new: Any, place: str) -> list[str]:
    """Keys whose values differ; absent and null are the same."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found = []
        for key in dict.fromkeys((*old, *new)):
            found += _differences(old.get(key), new.get(key), f"{place}.{key}" if place else str(key))
        return found
    return [] if old == new else [place]


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
