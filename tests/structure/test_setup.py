"""The set-up's own reading of pyproject.toml, its stamp, and the lock file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.command import environment

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is in the standard library from Python 3.11 on")
def test_the_set_up_reads_the_same_requirements_as_a_toml_parser() -> None:
    import tomllib

    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = document["project"]
    extras = project["optional-dependencies"]
    assert environment.bare_requirements(ROOT, ("test",)) == document["tool"]["atelier"]["without-dependencies"]["test"]
    assert environment.bare_requirements(ROOT, ()) == []
    assert environment.requirements(ROOT, ()) == project["dependencies"]
    assert environment.requirements(ROOT, ("test",)) == project["dependencies"] + extras["test"]


def test_every_direct_dependency_is_locked() -> None:
    locked = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    for requirement in environment.requirements(ROOT, ("test",)):
        name = re.split(r"[\[<>=~ ]", requirement)[0].lower().replace("_", "-")
        assert re.search(rf"^{re.escape(name)}==", locked, re.MULTILINE), f"{name} is not in constraints.txt"


def test_every_direct_dependency_has_a_line_that_says_why() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").lower()
    extras = ("test", "gpu", "postgres")
    for requirement in environment.requirements(ROOT, extras) + environment.bare_requirements(ROOT, extras):
        name = re.split(r"[\[<>=~ ]", requirement)[0].lower()
        assert f"| {name} |" in page, f"{name} is not in docs/dependencies.md"


def test_the_stamp_changes_with_extras_requirements_and_lock_and_nothing_else(tmp_path: Path) -> None:
    project = '[project]\ndependencies = [\n  "a>=1",\n]\n'
    (tmp_path / "pyproject.toml").write_text(project)
    (tmp_path / "constraints.txt").write_text("a==1")
    plain = environment.stamp_value(tmp_path, ())
    assert environment.stamp_value(tmp_path, ("test",)) != plain
    (tmp_path / "pyproject.toml").write_text(project + "[tool.ruff]\nline-length = 1\n")
    assert environment.stamp_value(tmp_path, ()) == plain
    (tmp_path / "pyproject.toml").write_text(project.replace("a>=1", "a>=2"))
    assert environment.stamp_value(tmp_path, ()) != plain
    (tmp_path / "pyproject.toml").write_text(project)
    (tmp_path / "constraints.txt").write_text("a==2")
    assert environment.stamp_value(tmp_path, ()) != plain


def test_an_unsupported_python_is_refused_with_the_versions_that_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text("")
    monkeypatch.delenv("ATELIER_SYSTEM_PYTHON", raising=False)
    monkeypatch.setattr(environment.sys, "version_info", (3, 9, 1))
    with pytest.raises(environment.SetupError, match=r"3\.10, 3\.11, 3\.12 or 3\.13"):
        environment.ensure_environment(tmp_path, [])


@pytest.mark.skipif(sys.platform == "win32", reason="holds the lock with flock")
def test_a_second_first_start_waits_for_the_set_up_that_is_under_way_and_uses_it(tmp_path: Path) -> None:
    import fcntl

    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = [\n  "a>=1",\n]\n')
    (tmp_path / "constraints.txt").write_text("")
    (tmp_path / "main.py").write_text("print('started inside')")
    start = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from pathlib import Path;"
        f"from engine.command.environment import ensure_environment; ensure_environment(Path({str(tmp_path)!r}), [])"
    )
    environment_of_child = {key: value for key, value in os.environ.items() if not key.startswith("ATELIER_")}
    with (tmp_path / ".venv.lock").open("a+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = subprocess.Popen(
            [sys.executable, "-c", start], stdout=subprocess.PIPE, text=True, env=environment_of_child
        )
        assert second.stdout is not None
        assert second.stdout.readline() == "Another start is setting up the environment; waiting for it\n"
        python = environment.environment_python(tmp_path)
        python.parent.mkdir(parents=True)
        python.symlink_to(sys.executable)
        (tmp_path / ".venv" / "atelier-stamp").write_text(environment.stamp_value(tmp_path, ()))
    assert second.communicate(timeout=60)[0] == "started inside\n"
    assert second.returncode == 0
