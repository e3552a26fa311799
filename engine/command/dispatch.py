"""Sub-commands by name. `main.py` without a sub-command serves."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from engine.core.errors import AtelierError

__all__ = ["COMMANDS", "dispatch", "installed"]

COMMANDS = {
    "serve": "start the server (the default)",
    "run": "run a workflow or prompt file and print the paths of its outputs",
    "validate": "check a workflow or prompt file without running it",
    "nodes": "list the node types, or describe one",
    "models": "list, describe, hash or convert weight files",
    "train": "train a model from a recipe, or go on with a run",
    "evaluate": "judge a model of postcards on held-out prompts, as a table",
    "watermark": "look for the invisible watermark in picture files",
    "doctor": "show versions, device, memory and folders, and what is missing",
    "test": "run all tests",
    "bench": "run the benchmarks and print their figures as a table",
}
"""Name → one line of help. Each is a module of this package with a function `main(root, arguments) -> int`."""


def dispatch(root: Path, arguments: list[str]) -> int:
    """Run the sub-command the arguments name; returns the exit code. Errors become one sentence and a remedy."""
    if arguments[:1] in (["--help"], ["-h"], ["help"]):
        print(_overview())
        return 0
    name = arguments[0] if arguments and arguments[0] in COMMANDS else "serve"
    rest = arguments[1:] if arguments[:1] == [name] else arguments
    try:
        if rest is arguments and rest and not rest[0].startswith("-"):
            raise _unknown_command(rest[0])
        return importlib.import_module(f"engine.command.{name}").main(root, rest)
    except AtelierError as error:
        place = "".join(f" [{key} {value}]" for key, value in (("node", error.node), ("input", error.input)) if value)
        print(f"Error: {error.message}{place}", file=sys.stderr)
        if error.hint:
            print(error.hint, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def installed() -> int:
    """Entry point of an installed wheel: the working folder is the base, the environment is the caller's."""
    return dispatch(Path.cwd(), sys.argv[1:])


def _overview() -> str:
    lines = ["usage: python3 main.py [COMMAND] [FLAGS]", ""]
    lines += [f"  {name:<10}{text}" for name, text in COMMANDS.items()]
    return "\n".join([*lines, "", "`python3 main.py COMMAND --help` lists the flags of a command."])


def _unknown_command(word: str) -> AtelierError:
    import difflib

    close = difflib.get_close_matches(word, COMMANDS, n=1)
    hint = f"Did you mean `{close[0]}`?" if close else f"Commands: {', '.join(COMMANDS)}."
    return AtelierError(f"There is no command {word!r}.", code="unknown_command", hint=hint)
