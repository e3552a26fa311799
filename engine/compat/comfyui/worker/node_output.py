"""`io.NodeOutput`: what schema-form nodes return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["NodeOutput"]


class NodeOutput:
    """Values, UI output, an expansion, or a block, in one object.

    `NodeOutput(a, b)` gives the outputs a and b; without values there are none. `block_execution` blocks every output
    with its text ("" or True silently).
    """

    def __init__(
        self,
        *args: Any,
        ui: Any = None,
        expand: Mapping[str, Any] | None = None,
        block_execution: str | None = None,
    ) -> None:
        self.args = args
        self.ui = ui
        self.expand = expand
        self.block_execution = block_execution

    @property
    def result(self) -> tuple[Any, ...] | None:
        """The values, or None when there are none."""
        return self.args if self.args else None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> NodeOutput:
        """The object for a classic return dictionary."""
        result = data.get("result")
        args = tuple(result) if isinstance(result, (tuple, list)) else ()
        return cls(*args, ui=data.get("ui"), expand=data.get("expand"))

    def __getitem__(self, index: int) -> Any:
        return self.args[index]
