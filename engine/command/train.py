"""`main.py train CONFIG... [key=value ...]`: train a model from a recipe, or go on with a run."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from engine.command.arguments import FlagParser
from engine.command.progress_line import ProgressLine
from engine.core.errors import SettingsError

if TYPE_CHECKING:
    from engine.training.recipe import TrainingRecipe
    from engine.training.run_folder import RunFolder
    from engine.training.trainer import RunResult

__all__ = ["main"]

_RUN_OF_RANKS = "ATELIER_TRAINING_RUN"
"""Tells the processes of further devices, which are started with the same command line, which run they belong to."""


def main(root: Path, arguments: list[str]) -> int:
    """Train; returns 0 when the run is finished, 3 when it was stopped and can be continued."""
    flags = _parser().parse_intermixed_args(arguments)
    words = [*flags.base, *flags.words]
    configs = [word for word in words if "=" not in word]
    overrides = [word for word in words if "=" in word]
    from engine.training.run_folder import RunFolder

    folder = RunFolder(_run_path(root, flags.run, configs))
    is_rank = os.environ.get(_RUN_OF_RANKS) is not None
    recipe = _recipe(root, configs, overrides, folder, resumes=flags.resume or flags.export is not None)
    if flags.export is not None:
        return _export(recipe, folder, root, flags.export)
    os.environ[_RUN_OF_RANKS] = str(folder.path)
    try:
        return _train(recipe, folder, root, resumes=flags.resume or is_rank, is_quiet=is_rank)
    finally:
        del os.environ[_RUN_OF_RANKS]


def _parser() -> FlagParser:
    parser = FlagParser(prog="main.py train", description="Train a model from YAML recipes, merged left to right.")
    parser.add_argument(
        "words",
        nargs="*",
        metavar="CONFIG|KEY=VALUE",
        help="a YAML file, the name of one in models/configs/training, or an override such as trainer.max_steps=10",
    )
    parser.add_argument("--base", nargs="*", default=[], metavar="CONFIG", help="recipes, before all others")
    parser.add_argument(
        "--run", type=Path, metavar="DIR", help="folder of the run; a new one in output/training if none"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the run's newest checkpoint")
    parser.add_argument("--export", type=Path, metavar="FILE", help="only write the run's newest checkpoint as a model")
    return parser


def _recipe(
    root: Path, configs: list[str], overrides: list[str], folder: RunFolder, *, resumes: bool
) -> TrainingRecipe:
    """The recipe of the files, or of the run that is continued. Raises ConfigError."""
    from engine.training.config.error import ConfigError
    from engine.training.config.merge import apply_override, read_config
    from engine.training.config.resolve import resolve
    from engine.training.recipe import TrainingRecipe

    if configs:
        data = read_config([_config_path(root, name) for name in configs], overrides)
    elif resumes and folder.path.is_dir():
        data = folder.config
        for override in overrides:
            data = apply_override(data, override)
    else:
        raise ConfigError(
            "No recipe was named.", hint="For example: python3 main.py train mnist --run output/training/mnist"
        )
    return resolve(TrainingRecipe, data)


def _config_path(root: Path, name: str) -> Path:
    """A file as named, or one of the recipes that come with the project."""
    shipped = root / "models" / "configs" / "training" / f"{name}.yaml"
    return shipped if not Path(name).exists() and shipped.is_file() else Path(name)


def _run_path(root: Path, named: Path | None, configs: list[str]) -> Path:
    """The named folder, or the first free one that is called after the last recipe."""
    given = os.environ.get(_RUN_OF_RANKS)
    if given is not None:
        return Path(given)
    if named is not None:
        return named
    if not configs:
        raise SettingsError("Which run?", hint="Name its folder with --run DIR.")
    number = 1
    while (path := root / "output" / "training" / f"{Path(configs[-1]).stem}-{number:03d}").exists():
        number += 1
    return path


def _train(recipe: TrainingRecipe, folder: RunFolder, root: Path, *, resumes: bool, is_quiet: bool) -> int:
    from engine.training.lightning_module import RunHooks
    from engine.training.trainer import train

    line = ProgressLine(sys.stderr)
    stop = _StopSignals()
    if not is_quiet:
        line.note(f"run {folder.path}")
    started = time.monotonic()
    try:
        hooks = RunHooks(show=line.show, note=line.note, should_stop=stop.is_asked, started=stop.install)
        result = train(recipe, folder, root, hooks, resumes=resumes)
    finally:
        stop.restore()
        line.close()
    if not is_quiet:
        _report(result, folder, time.monotonic() - started)
    return 0 if result.is_finished else 3


def _report(result: RunResult, folder: RunFolder, seconds: float) -> None:
    for kind, count in result.problems.items():
        print(f"{count} × {kind.replace('_', ' ')} in the data; see the warnings above", file=sys.stderr)
    state = "finished" if result.is_finished else "stopped; continue it with --resume"
    print(f"{folder.path}: step {result.step}, {state} ({seconds:.0f} s)")
    if result.exported is not None:
        print(result.exported)


def _export(recipe: TrainingRecipe, folder: RunFolder, root: Path, path: Path) -> int:
    from engine.training.trainer import export_run

    step = export_run(recipe, folder, root, path)
    print(f"{path}: step {step} of {folder.path}")
    return 0


class _StopSignals:
    """The first Ctrl-C or termination ends the run after its step, with a checkpoint; the second ends it at once."""

    def __init__(self) -> None:
        self._is_asked = False
        self._before: dict[int, Any] = {}

    def is_asked(self) -> bool:
        """Whether somebody wants the run to end."""
        return self._is_asked

    def install(self) -> None:
        """Take over the signals; called when the run has started, after Lightning has installed handlers of its own."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before.setdefault(number, signal.getsignal(number))
            signal.signal(number, self._ask)

    def restore(self) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._is_asked:
            raise KeyboardInterrupt
        self._is_asked = True
