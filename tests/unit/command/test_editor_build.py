"""The editor is built when its sources changed, by whatever npm there is, and never stops the server."""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from engine.command.editor import NodeTools, ensure_editor, install_packages, source_stamp

NPM = """
import pathlib, sys
with open("calls.txt", "a") as stream:
    stream.write(" ".join(sys.argv[1:3]) + "\\n")
if sys.argv[1] == "run":
    pathlib.Path("dist").mkdir(exist_ok=True)
    pathlib.Path("dist/index.html").write_text("<p>built</p>")
sys.exit({code})
"""


def project(tmp_path: Path, code: int = 0) -> NodeTools:
    web = tmp_path / "web"
    (web / "src").mkdir(parents=True)
    (web / "package.json").write_text("{}")
    (web / "package-lock.json").write_text("{}")
    (web / "src" / "main.ts").write_text("1")
    script = tmp_path / "npm.py"
    script.write_text(NPM.replace("{code}", str(code)))
    return NodeTools((sys.executable, str(script)))


def calls(tmp_path: Path) -> list[str]:
    return (tmp_path / "web" / "calls.txt").read_text().splitlines()


def test_the_first_start_builds_and_the_next_adds_nothing(tmp_path: Path) -> None:
    tools = project(tmp_path)
    assert ensure_editor(tmp_path, tools) == tmp_path / "web" / "dist"
    assert calls(tmp_path) == ["ci --no-audit", "run build"]
    assert ensure_editor(tmp_path, tools) == tmp_path / "web" / "dist"
    assert len(calls(tmp_path)) == 2


def test_changed_sources_are_built_again_with_the_packages_that_are_there(tmp_path: Path) -> None:
    tools = project(tmp_path)
    ensure_editor(tmp_path, tools)
    (tmp_path / "web" / "src" / "main.ts").write_text("2")
    ensure_editor(tmp_path, tools)
    assert calls(tmp_path) == ["ci --no-audit", "run build", "run build"]


def test_packages_asked_for_by_several_processes_are_fetched_once(tmp_path: Path) -> None:
    tools = project(tmp_path)
    script = Path(tools.npm[1])
    script.write_text("import time; time.sleep(0.3)\n" + script.read_text())
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(install_packages, [tmp_path / "web"] * 3, [tools] * 3))
    assert calls(tmp_path) == ["ci --no-audit"]


def test_tests_and_build_results_do_not_count_as_sources(tmp_path: Path) -> None:
    project(tmp_path)
    web = tmp_path / "web"
    before = source_stamp(web)
    for name in ("tests", "dist", "node_modules"):
        (web / name).mkdir()
        (web / name / "a.js").write_text("x")
    assert source_stamp(web) == before


def test_a_changed_template_is_built_in_again(tmp_path: Path) -> None:
    project(tmp_path)
    (tmp_path / "workflows").mkdir()
    before = source_stamp(tmp_path / "web")
    (tmp_path / "workflows" / "new.json").write_text("{}")
    assert source_stamp(tmp_path / "web") != before


def test_a_build_that_fails_is_told_and_leaves_no_editor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ensure_editor(tmp_path, project(tmp_path, code=3)) is None
    assert "ended with exit code 3" in capsys.readouterr().err


def test_a_missing_npm_is_told_and_leaves_no_editor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project(tmp_path)
    assert ensure_editor(tmp_path, NodeTools((str(tmp_path / "no-such-npm"),))) is None
    assert "npm cannot be run" in capsys.readouterr().err


def test_a_built_editor_without_sources_is_taken_as_it_is(tmp_path: Path) -> None:
    assert ensure_editor(tmp_path) is None
    (tmp_path / "web" / "dist").mkdir(parents=True)
    (tmp_path / "web" / "dist" / "index.html").write_text("x")
    assert ensure_editor(tmp_path) == tmp_path / "web" / "dist"
