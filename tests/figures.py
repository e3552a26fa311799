"""The figures that benchmarks leave on their reports: as a table on the terminal, and as one in a page."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

__all__ = ["figure_rows", "machine_line", "put_into_page", "with_spread"]

_PACKAGES = ("torch", "numpy", "diffusers", "aiohttp")
_BEGIN, _END = "<!-- figures: {name} -->", "<!-- end of {name} -->"


def figure_rows(reporter: pytest.TerminalReporter) -> list[tuple[str, str, str, str]]:
    """(topic, figure, value, wanted), sorted; they come from whatever process ran the benchmark."""
    return sorted(
        row
        for reports in reporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, row in report.user_properties
        if name == "figure"
    )


def machine_line() -> str:
    """The processor, its cores, how busy it is, the system, and the versions that decide figures."""
    found = [_processor(), f"{os.cpu_count()} cores"]
    if hasattr(os, "getloadavg"):
        found.append(f"load {os.getloadavg()[0]:.1f}")
    found += [platform.platform(), f"Python {platform.python_version()}"]
    for name in _PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def with_spread(seconds: Sequence[float]) -> str:
    """The median, and the smallest and the largest of several measurements."""
    ordered = sorted(seconds)
    middle = ordered[len(ordered) // 2]
    return f"{_short(middle)} ({_short(ordered[0])} … {_short(ordered[-1])}, n={len(ordered)})"


def put_into_page(page: Path, name: str, command: str, rows: Iterable[Sequence[str]]) -> None:
    """Put a table between its two marks in a page of Markdown, or with its marks at the end of it."""
    begin, end = _BEGIN.format(name=name), _END.format(name=name)
    lines = [
        begin,
        "",
        f"`{command}`",
        "",
        f"{machine_line()}.",
        "",
        "| | figure | value | wanted |",
        "|---|---|---|---|",
    ]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    table = "\n".join([*lines, "", end])
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    if begin in text and end in text:
        before, after = text.split(begin)[0], text.split(end, 1)[1]
        text = before + table + after
    else:
        text = f"{text.rstrip()}\n\n{table}\n".lstrip()
    page.write_text(text, encoding="utf-8")


def _short(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
