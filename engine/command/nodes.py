"""`main.py nodes [NAME]`: the node types, or one in detail."""

from __future__ import annotations

import json
from pathlib import Path

from engine.command.arguments import FlagParser, add_server_flags, settings_from_flags
from engine.command.provision import make_folders
from engine.command.session import load_catalog
from engine.core.errors import NotFoundError
from engine.graph.schema import Catalog, FileChoices, InputSpec, NodeSpec, spec_to_json

__all__ = ["main"]


def main(root: Path, arguments: list[str]) -> int:
    """Print the list by category, or the description of one type."""
    parser = FlagParser(prog="main.py nodes", description="List the node types, or describe one.")
    parser.add_argument("name", nargs="?", help="a node type")
    parser.add_argument("--json", action="store_true")
    add_server_flags(parser)
    flags = parser.parse_args(arguments)
    settings = settings_from_flags(root, flags, arguments)
    make_folders(settings.folders)
    catalog = load_catalog(settings)
    if flags.name is None:
        _print_list(catalog, flags.json)
        return 0
    spec = catalog.get(flags.name)
    if spec is None:
        near = catalog.nearest(flags.name)
        raise NotFoundError(f"There is no node type {flags.name!r}.", hint=f"Did you mean {near}?" if near else "")
    print(json.dumps(spec_to_json(spec), indent=2) if flags.json else _describe(spec))
    return 0


def _print_list(catalog: Catalog, as_json: bool) -> None:
    if as_json:
        print(json.dumps([spec_to_json(catalog[name]) for name in sorted(catalog)]))
        return
    by_category: dict[str, list[str]] = {}
    for name in catalog:
        by_category.setdefault(catalog[name].category, []).append(name)
    for category in sorted(by_category):
        print(f"{category or '(no category)'}\n  {', '.join(sorted(by_category[category]))}")
    print(f"{len(catalog)} node types")


def _describe(spec: NodeSpec) -> str:
    lines = [f"{spec.name} — {spec.title or spec.name}   [{spec.category}]"]
    if spec.description:
        lines += ["", spec.description]
    for label, items in (
        ("inputs", [item for item in spec.visible_inputs]),
        ("outputs", list(spec.outputs)),
    ):
        if items:
            lines += ["", f"{label}:"]
            lines += [
                _input_line(item) if isinstance(item, InputSpec) else f"  {item.name}: {item.type}" for item in items
            ]
    return "\n".join(lines)


def _input_line(item: InputSpec) -> str:
    text = f"  {item.name}: {item.type}"
    if isinstance(item.choices, FileChoices):
        text += f" (a file of {item.choices.folder})"
    elif item.choices is not None:
        text += f" ({' | '.join(map(str, item.choices))})"
    for key in ("default", "min", "max"):
        if key in item.options:
            text += f", {key} {item.options[key]!r}"
    return text + (", optional" if item.presence == "optional" else "")
