"""What validation has to say about a graph, as data: one record per finding, made to be shown and to be mapped."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.core.ids import NodeId

__all__ = ["Complaint", "shown"]

_MAX_SHOWN = 500


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that is wrong with a graph.

    `code` is stable. Where ComfyUI has an error type for the same finding, `comfy_type` is that type (equal to `code`
    unless several findings share one), and `details` and `extra` are what its error record holds. `message` is a
    sentence for people, `got` and `wanted` are JSON values (long ones shortened), `remedy` says what to do.
    `node` is None for findings about the graph as a whole.
    """

    code: str
    message: str
    node: NodeId | None = None
    node_type: str = ""
    title: str = ""
    input: str | None = None
    got: Any = None
    wanted: Any = None
    remedy: str = ""
    details: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    comfy_type: str = ""

    def to_json(self) -> dict[str, Any]:
        """The complaint as the HTTP API shows it."""
        record: dict[str, Any] = {"code": self.code, "message": self.message}
        for key in ("node", "node_type", "title", "input", "got", "wanted", "remedy"):
            value = getattr(self, key)
            if value not in (None, ""):
                record[key] = value
        return record


def shown(value: Any) -> Any:
    """`value` as it may be shown: JSON, no NaN or infinity, at most about 500 characters."""
    if isinstance(value, bool) or value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    text = value
    if not isinstance(value, str):
        try:
            text = json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            text = repr(value)
        else:
            if len(text) <= _MAX_SHOWN:
                return value
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}… ({len(text)} characters)"
