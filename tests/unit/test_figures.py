"""The tables of figures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.figures import machine_line, put_into_page, with_spread
from tests.own_peak import own_peak_bytes

ROOT = Path(__file__).resolve().parents[2]

ROWS = [("topic", "a step", "1.0 s", "≤ 2 s"), ("topic", "a | b", "3", "")]


def test_a_table_takes_the_place_of_the_older_one_of_its_name(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\nWords.\n", encoding="utf-8")
    put_into_page(page, "one", "bench", ROWS)
    put_into_page(page, "two", "bench", ROWS[:1])
    put_into_page(page, "one", "bench again", ROWS[1:])
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Page\n\nWords.\n\n<!-- figures: one -->\n\n`bench again`\n")
    assert text.count("| topic |") == 2
    assert "| topic | a \\| b | 3 |  |" in text
    assert text.index("figures: one") < text.index("end of one") < text.index("figures: two")


def test_a_spread_is_the_median_and_both_ends() -> None:
    assert with_spread([0.3, 0.1, 0.2]) == "200.0 ms (100.0 ms … 300.0 ms, n=3)"
    assert with_spread([1.25]) == "1.25 s (1.25 s … 1.25 s, n=1)"


def test_the_machine_is_named_with_its_load_and_versions() -> None:
    line = machine_line()
    assert "cores" in line
    assert "torch" in line


def test_the_peak_of_a_process_is_not_that_of_the_one_that_started_it() -> None:
    large = bytearray(300_000_000)
    large[::4096] = b"1" * len(large[::4096])
    command = [sys.executable, "-c", "from tests.own_peak import own_peak_bytes; print(own_peak_bytes())"]
    child = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(child.stdout) < len(large) < own_peak_bytes()
