"""One table of figures at the end of a benchmark run."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field

import pytest


@dataclass
class Figures:
    """Collected lines of the table: topic, what was measured, the value as text, what is wanted."""

    rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    def add(self, topic: str, figure: str, value: str, wanted: str = "") -> None:
        self.rows.append((topic, figure, value, wanted))


KEY: pytest.StashKey[Figures] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[KEY] = Figures()


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    return request.config.stash[KEY]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash[KEY].rows
    if not rows:
        return
    terminalreporter.section("figures")
    terminalreporter.write_line(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.platform()}")
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in sorted(rows):
        terminalreporter.write_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
