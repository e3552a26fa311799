"""Choosing between branches, and looking at values."""

from __future__ import annotations

import json
from typing import Annotated, Any

from engine.api import AnyValue, Lazy, NodeResult, node

__all__ = ["preview_any", "switch"]


def _needed_branch(switch: bool | None = None, on_false: Any = None, on_true: Any = None) -> list[str]:
    """The branch the switch points to, while it is not there yet."""
    if switch is None:
        return []
    if switch:
        return ["on_true"] if on_true is None else []
    return ["on_false"] if on_false is None else []


@node(
    "ComfySwitchNode",
    title="Switch",
    category="logic",
    output_names=("output",),
    experimental=True,
    schema_form=True,
    lazy=_needed_branch,
)
def switch(
    switch: bool, on_false: Annotated[AnyValue, Lazy()] = None, on_true: Annotated[AnyValue, Lazy()] = None
) -> AnyValue:
    """One of two values of any type. Only the chosen branch is computed."""
    return on_true if switch else on_false


@node("PreviewAny", title="Preview Any", category="utils", output=True)
def preview_any(source: AnyValue) -> NodeResult:
    """Show any value as text: text as it is, numbers and truth values plainly, records as JSON, the rest described."""
    return NodeResult(ui={"text": [_as_text(source)]})


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, (int, float, bool)):
        return str(value)
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return str(value)
