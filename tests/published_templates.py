"""The field's published workflow templates, from the package that carries them when it is installed."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

from engine.graph.workflow import is_workflow

__all__ = ["published_templates", "templates_folder"]


@cache
def templates_folder() -> Path | None:
    """Where the package keeps them; None without it."""
    found = importlib.util.find_spec("comfyui_workflow_templates_json")
    return None if found is None or found.origin is None else Path(found.origin).parent / "templates"


@cache
def published_templates() -> dict[str, dict[str, Any]]:
    """Every workflow by the name of its file."""
    folder = templates_folder()
    assert folder is not None
    values = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    return {name: value for name, value in values.items() if is_workflow(value)}
