"""`main.py validate FILE`: every complaint about a file, without running it."""

from __future__ import annotations

import json
from pathlib import Path

from engine.command.arguments import FlagParser, add_server_flags, settings_from_flags
from engine.command.graph_file import apply_setting, load_graph
from engine.command.provision import make_folders
from engine.command.session import check_prompt, load_catalog

__all__ = ["main"]


def main(root: Path, arguments: list[str]) -> int:
    """Print the complaints; returns 0 when every output can run, 1 otherwise."""
    parser = FlagParser(prog="main.py validate", description="Check a workflow or prompt file.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="NODE.INPUT=VALUE")
    parser.add_argument("--json", action="store_true", help="print the complaints as JSON")
    add_server_flags(parser)
    flags = parser.parse_args(arguments)
    settings = settings_from_flags(root, flags, arguments)
    make_folders(settings.folders)
    catalog = load_catalog(settings)
    prompt = load_graph(flags.file, catalog).prompt
    for setting in flags.set:
        apply_setting(prompt, setting)
    complaints = check_prompt(settings, catalog, prompt)
    if flags.json:
        print(json.dumps({"nodes": len(prompt), "complaints": complaints}, indent=2))
    elif complaints:
        for complaint in complaints:
            where = f"node {complaint['node']}" + (f", input {complaint['input']}" if complaint.get("input") else "")
            print(f"{where}: {complaint['message']} {complaint.get('remedy', '')}".rstrip())
    else:
        print(f"{flags.file}: {len(prompt)} nodes, no complaints")
    return 1 if complaints else 0
