"""Progress of a job on a terminal: one line that is rewritten, or plain lines where there is no terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TextIO

from engine.server.records import EventRecord

__all__ = ["ProgressLine"]

_BAR_WIDTH = 30


class ProgressLine:
    """Writes to `stream`; call `close` before printing anything else. is_terminal: lines are rewritten, not added."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.is_terminal = stream.isatty()
        self._is_open = False

    def event(self, event: EventRecord, titles: Mapping[str, str]) -> None:
        """Show an event of the job's log; `titles` maps node ids to what people call them."""
        data = event.data
        title = titles.get(str(data.get("display") or data.get("node")), str(data.get("node")))
        if event.kind == "node_started":
            self.show(title)
        elif event.kind == "node_progress" and data.get("max"):
            value, maximum = data["value"], data["max"]
            done = round(_BAR_WIDTH * value / maximum)
            if self.is_terminal:
                self.show(f"{title}  [{'#' * done}{' ' * (_BAR_WIDTH - done)}] {value:g}/{maximum:g}")
        elif event.kind == "nodes_cached" and data.get("nodes"):
            self.note(f"{len(data['nodes'])} nodes from the cache")
        elif event.kind in ("warning", "node_blocked") and data.get("message"):
            self.note(f"{title}: {data['message']}")

    def show(self, text: str) -> None:
        """Replace the line."""
        if self.is_terminal:
            self._stream.write(f"\r\x1b[2K{text[:110]}")
            self._is_open = True
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def note(self, text: str) -> None:
        """Write a line that stays."""
        self.close()
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def close(self) -> None:
        """Clear the line."""
        if self._is_open:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()
        self._is_open = False
