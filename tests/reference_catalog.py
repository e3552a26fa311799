"""The node list of the reference server as a Catalog, for tests that need realistic specs without a worker."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from engine.graph.schema import ANY_TYPE, Catalog, FileChoices, InputSpec, NodeSpec, OutputSpec

__all__ = ["REFERENCE", "reference_catalog", "reference_rows", "spec_of_row"]

REFERENCE = Path(__file__).parent / "data" / "reference"

_FOLDER = re.compile(r"^(?P<folder>input)(?:\((?P<media>[^)]*)\)|/(?P<below>\w+) \(.*\))?$")
_NOT_OPTIONS = ("type", "options", "files", "also")
_WORKING = ("input", "output", "temp")


@cache
def reference_rows() -> tuple[dict[str, Any], ...]:
    """The rows of nodes.jsonl, in file order."""
    with (REFERENCE / "nodes.jsonl").open(encoding="utf-8") as stream:
        return tuple(json.loads(line) for line in stream if line.strip())


@cache
def reference_catalog() -> Catalog:
    """All rows as specs."""
    return Catalog({row["name"]: spec_of_row(row) for row in reference_rows()}, digest="reference")


def spec_of_row(row: Mapping[str, Any]) -> NodeSpec:
    """One row of nodes.jsonl as a NodeSpec.

    Inputs that pick a file of a working folder are checked and fingerprinted by the engine itself, so the code hooks
    the reference has for exactly those inputs are not listed in `validates` and `has_fingerprint`.
    """
    inputs = tuple(
        _input(name, item, presence)
        for presence in ("required", "optional")
        for name, item in row.get(presence, {}).items()
    ) + tuple(InputSpec(name, token, "hidden") for name, token in row.get("hidden", {}).items())
    files = {i.name for i in inputs if isinstance(i.choices, FileChoices) and i.choices.folder in _WORKING}
    return NodeSpec(
        name=row["name"],
        title=row.get("display_name") or "",
        category=row.get("category", ""),
        description=row.get("description", ""),
        inputs=inputs,
        outputs=tuple(
            OutputSpec(o["name"], o["type"], bool(o.get("is_list")), is_wildcard=o["type"] == ANY_TYPE)
            for o in row["outputs"]
        ),
        is_output_node=bool(row.get("output_node")),
        is_input_list=bool(row.get("input_is_list")),
        is_deprecated=bool(row.get("deprecated")),
        is_experimental=bool(row.get("experimental")),
        depends_on_id=any(item.type == "UNIQUE_ID" for item in inputs),
        has_fingerprint=bool(row.get("has_fingerprint")) and not files,
        has_lazy_check=bool(row.get("has_lazy_check")),
        validates=tuple(name for name in row.get("validates", ()) if name not in files),
        schema_form=bool(row.get("v3")),
        module=row.get("module", "nodes"),
    )


def _input(name: str, item: Mapping[str, Any], presence: str) -> InputSpec:
    options = {key: value for key, value in item.items() if key not in _NOT_OPTIONS}
    choices: tuple[Any, ...] | FileChoices | None = None
    if item["type"] == "COMBO":
        choices = _choices(item)
    elif item["type"] == "WEBCAM":
        choices = FileChoices("input", "image")
    return InputSpec(name, item["type"], presence, options, choices, is_wildcard=item["type"] == ANY_TYPE)


def _choices(item: Mapping[str, Any]) -> tuple[Any, ...] | FileChoices:
    if "options" in item:
        return tuple(item["options"])
    also = tuple(item.get("also", ()))
    if "files" not in item:
        return FileChoices(item["image_folder"], "image", also)
    match = _FOLDER.match(item["files"])
    if not match:
        return FileChoices(item["files"], "", also)
    media = f"{match['below']}/*" if match["below"] else match["media"] or ""
    return FileChoices("input", media, also)
