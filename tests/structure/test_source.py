"""House rules about source text: size, style, words."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
EXEMPT_FILES: dict[str, int] = {}
"""Files that may be longer, with their limit. Only shrinks."""
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc", "manager"}


def tracked() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    return [ROOT / line for line in listing.stdout.splitlines() if (ROOT / line).is_file()]


def product_sources() -> Iterator[Path]:
    for path in tracked():
        relative = path.relative_to(ROOT)
        if path.suffix == ".py" and relative.parts[0] in {"engine", "nodes", "custom_nodes", "tools", "main.py"}:
            yield path


def test_no_file_is_longer_than_the_budget() -> None:
    long = {}
    for path in product_sources():
        name = str(path.relative_to(ROOT))
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > EXEMPT_FILES.get(name, MAX_FILE_LINES):
            long[name] = lines
    assert long == {}


def test_no_function_is_longer_than_the_budget() -> None:
    long = {}
    for path in product_sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = node.body
                documented = isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
                first = body[1] if documented and len(body) > 1 else body[0]
                if node.end_lineno - first.lineno + 1 > MAX_FUNCTION_LINES:
                    long[f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"] = node.end_lineno - first.lineno + 1
    assert long == {}


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert [str(path) for path in product_sources() if path.stem in FORBIDDEN_NAMES] == []


def test_every_public_module_lists_its_names() -> None:
    missing = []
    for path in product_sources():
        relative = path.relative_to(ROOT)
        if relative.parts[0] != "engine" or path.name == "__init__.py" or "migrations" in relative.parts:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [t.id for n in tree.body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)]
        if "__all__" not in names:
            missing.append(str(relative))
    assert missing == []


def test_the_linter_has_no_complaint() -> None:
    result = subprocess.run([sys.executable, "-m", "ruff", "check", "."], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-6000:]


def test_the_formatter_would_change_nothing() -> None:
    command = [sys.executable, "-m", "ruff", "format", "--check", "."]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-6000:]


def test_no_file_names_a_registry_host_or_a_path_of_one_machine() -> None:
    words = [
        "pypi" + ".org",
        "python" + "hosted",
        "registry." + "npmjs",
        "deb." + "debian",
        "/wo" + "rk/",
        "/ro" + "ot/",
    ]
    pattern = re.compile("|".join(map(re.escape, words)))
    found = {}
    for path in tracked():
        if path.stat().st_size > 2_000_000 or path.suffix in {".gz", ".png", ".npz", ".webp", ".gif", ".jpg"}:
            continue
        match = pattern.search(path.read_text(encoding="utf-8", errors="replace"))
        if match:
            found[str(path.relative_to(ROOT))] = match.group()
    assert found == {}


def test_no_tracked_file_is_over_thirty_megabytes() -> None:
    assert [str(path) for path in tracked() if path.stat().st_size > 30_000_000] == []
