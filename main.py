#!/usr/bin/env python3
"""Atelier's command line: installs itself on the first run, then serves, runs a workflow, or does one command."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
EXTRAS = {"test": ("test",), "bench": ("test",), "train": ("train",)}
"""Sub-command → what it needs beyond the base installation."""


def main() -> int:
    """Prepare the environment for the command, then hand over to it; returns the exit code."""
    sys.path.insert(0, str(ROOT))
    from engine.command.environment import SetupError, ensure_environment

    arguments = sys.argv[1:]
    extras = EXTRAS.get(arguments[0], ()) if arguments else ()
    try:
        ensure_environment(ROOT, arguments, extras)
    except SetupError as error:
        print(f"Set-up failed. {error}", file=sys.stderr)
        return 2
    from engine.command.dispatch import dispatch

    return dispatch(ROOT, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
