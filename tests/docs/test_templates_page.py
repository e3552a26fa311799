"""The page on templates names every one of them with the weight files it asks for."""

from __future__ import annotations

import re
from pathlib import Path

from engine.graph.compile import compile_workflow
from engine.graph.schema import FileChoices
from engine.graph.workflow import Workflow
from tests.built_in_nodes import built_in_catalog

ROOT = Path(__file__).resolve().parents[2]
IN_TEXT = {"embedding": {"embeddings/starter_purple_house.safetensors"}}
"""Files that a text names."""


def files_of(path: Path) -> set[str]:
    """The weight files a workflow's loaders name, each below its folder."""
    graph = compile_workflow(Workflow.load(path.read_bytes()), built_in_catalog())
    return IN_TEXT.get(path.stem, set()) | {
        f"{item.choices.folder}/{node.inputs[item.name]}"
        for node in graph.nodes.values()
        for item in built_in_catalog()[node.type].widgets
        if isinstance(item.choices, FileChoices) and item.choices.folder not in ("input", "output", "temp")
    }


def test_every_template_is_on_the_page_with_its_files() -> None:
    page = (ROOT / "docs" / "templates.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \|(.*)\|$", page, re.MULTILINE)
    listed = {name: set(re.findall(r"`([^`]+)`", files)) for name, files in rows}
    assert listed == {path.stem: files_of(path) for path in (ROOT / "workflows").glob("*.json")}
