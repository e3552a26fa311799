"""The watermark command: a table or JSON about picture files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engine.command.dispatch import dispatch

DATA = Path(__file__).parents[2] / "data"
MARKED = DATA / "watermark" / "library_embedded.jpg"


def test_the_table_has_a_row_for_each_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "notes.txt"
    broken.write_text("no picture")
    assert dispatch(tmp_path, ["watermark", "detect", str(MARKED), str(broken)]) == 1
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["file", "bits", "verdict"]
    assert first.split() == [str(MARKED), "48/48", "very", "likely"]
    assert "cannot be read as an image" in second


def test_json_says_how_many_bits_matched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(MARKED, tmp_path / "a.jpg")
    assert dispatch(tmp_path, ["watermark", "detect", "--json", str(tmp_path / "a.jpg")]) == 0
    wanted = {"bits_matched": 48, "bits": 48, "verdict": "very likely", "is_found": True}
    assert json.loads(capsys.readouterr().out) == [{"file": str(tmp_path / "a.jpg"), **wanted}]


def test_another_message_is_not_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(tmp_path, ["watermark", "detect", "--message", "0" * 12, str(MARKED)]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith("none")
