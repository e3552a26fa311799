"""The newest log lines in memory, with live listeners, and no secrets in them."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterable

from engine.server.feed import LogEntry

__all__ = ["CleanFormatter", "LogRing", "RingHandler"]

_MAX_LINE = 4000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # terminal escapes must not reach whoever reads the log
_TOKEN_IN_TEXT = re.compile(r"(?i)(token=|bearer\s+|atelier_token=)[^\s&;\"']+")


class LogRing:
    """Keeps the last `max_lines` lines. `secrets` are blotted out. Safe to append to from any thread."""

    def __init__(self, max_lines: int = 3000, secrets: Iterable[str] = ()) -> None:
        self._entries: deque[LogEntry] = deque(maxlen=max_lines)
        self._secrets = tuple(secret for secret in secrets if secret)
        self.on_entry: Callable[[LogEntry], None] | None = None

    def append(self, time_s: float, text: str) -> None:
        """Add one line; escapes and secrets are removed, long lines cut."""
        entry = LogEntry(time_s, self.cleaned(text)[:_MAX_LINE])
        self._entries.append(entry)
        if self.on_entry is not None:
            self.on_entry(entry)

    def cleaned(self, text: str) -> str:
        """`text` without secrets and control characters."""
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", _TOKEN_IN_TEXT.sub(r"\1…", text))

    def entries(self) -> list[LogEntry]:
        """The kept lines, oldest first."""
        return list(self._entries)


class CleanFormatter(logging.Formatter):
    """Formats records as `layout` says and passes the text through `clean`."""

    def __init__(self, layout: str, clean: Callable[[str], str]) -> None:
        super().__init__(layout)
        self._clean = clean

    def format(self, record: logging.LogRecord) -> str:
        """The cleaned line(s) of a record."""
        return self._clean(super().format(record))


class RingHandler(logging.Handler):
    """Sends log records into a ring."""

    def __init__(self, ring: LogRing) -> None:
        super().__init__()
        self._ring = ring
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Append the record's lines."""
        for line in self.format(record).splitlines():
            self._ring.append(record.created, line)
