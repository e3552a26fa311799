"""`main.py serve`: the server. Flags are ComfyUI's, see arguments.py."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from engine.command.arguments import FlagParser, add_server_flags, settings_from_flags
from engine.command.editor import ensure_editor
from engine.command.provision import provision
from engine.command.unused_flags import NO_EFFECT

__all__ = ["main"]

_ROOT = Path(__file__).resolve().parent.parent.parent


def main(root: Path, arguments: list[str]) -> int:
    """Serve until stopped; returns the exit code."""
    parser = FlagParser(prog="main.py serve", description="Start the server.")
    add_server_flags(parser)
    flags = parser.parse_args(arguments)
    settings = settings_from_flags(root, flags, arguments)
    for argument in arguments:
        if argument in NO_EFFECT:
            print(f"{argument} has no effect: {NO_EFFECT[argument]}.", file=sys.stderr)
    provision(settings.folders)
    if flags.quick_test_for_ci:
        from engine.command.session import load_catalog

        catalog = load_catalog(settings, fresh=True)
        print(f"{len(catalog)} node types load")
        return 0
    if settings.front_end_root is None and not flags.no_editor:
        settings = replace(settings, editor_root=ensure_editor(_ROOT))
    from engine.server.app import serve

    return serve(settings) or 0
