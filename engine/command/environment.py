"""Makes the project's own Python environment and keeps it current. Standard library only: it runs before anything else.

The environment lives in `.venv` beside main.py. A stamp inside it records what was installed; when the stamp matches,
a start costs two small file reads and one exec.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = [
    "SetupError",
    "bare_requirements",
    "ensure_environment",
    "environment_python",
    "install_extra",
    "is_own_environment",
    "only_one",
    "requirements",
    "stamp_value",
]

SUPPORTED = ((3, 10), (3, 13))
EXTRAS = ("train", "test")
"""Extras that a sub-command installs by itself."""
_STAMP = "atelier-stamp"
_INSIDE = "ATELIER_ENVIRONMENT"
_LOCKS = {
    "environment": ".venv.lock",
    "editor": ".editor.lock",
    "editor's packages": ".editor.packages.lock",
}
_EXTRAS_SECTION = "project.optional-dependencies"


class SetupError(Exception):
    """The environment could not be made; the text says why and what to do."""


def environment_python(root: Path) -> Path:
    """The interpreter of the project's environment, whether or not it exists."""
    return root / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def stamp_value(root: Path, extras: tuple[str, ...]) -> str:
    """What the stamp must say for these extras: a digest of everything that decides the installation."""
    state = hashlib.sha256(f"{sys.version_info[:2]} {sorted(extras)} {requirements(root, extras)}".encode())
    state.update(repr(bare_requirements(root, extras)).encode())
    state.update((root / "constraints.txt").read_bytes())
    return state.hexdigest()


def ensure_environment(root: Path, arguments: list[str], extras: tuple[str, ...] = ()) -> None:
    """Return when this process runs inside a current environment; otherwise make it and start again inside it.

    Never returns in the second case. With ATELIER_SYSTEM_PYTHON=1 the running interpreter is used as it is.
    Raises SetupError.
    """
    if os.environ.get("ATELIER_SYSTEM_PYTHON") == "1":
        return
    inside = Path(sys.prefix) == root / ".venv"
    if inside and os.environ.get(_INSIDE) == "1" and _is_current(root, extras):
        return
    if not _is_current(root, extras):
        with only_one(root, "environment"):
            if not _is_current(root, extras):  # another start may have made it while this one waited
                _install(root, extras)
    _restart(root, arguments)


def is_own_environment(root: Path) -> bool:
    """Whether this process runs in the environment that was made here, so that packages may be added to it."""
    return Path(sys.prefix) == root / ".venv" and os.environ.get(_INSIDE) == "1"


def install_extra(root: Path, extra: str) -> None:
    """Add what an extra lists to the environment, without a stamp: for what is needed once. Raises SetupError."""
    _pip(root, "install", "--constraint", str(root / "constraints.txt"), *_arrays(root, _EXTRAS_SECTION, (extra,)))


@contextmanager
def only_one(root: Path, what: str) -> Iterator[None]:
    """Lets one set-up at a time into the folder; the system frees the lock when its holder ends, however it ends.

    `what` is set up: "environment", "editor" or "editor's packages".
    """
    with (root / _LOCKS[what]).open("a+b") as stream:
        if not _lock(stream, wait=False):
            print(f"Another start is setting up the {what}; waiting for it", flush=True)
            _lock(stream, wait=True)
        yield


def _lock(stream: BinaryIO, *, wait: bool) -> bool:
    """Take the lock; False when somebody holds it and it is not waited for."""
    if os.name == "nt":
        import msvcrt

        while True:
            try:
                msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
                return True
            except OSError:
                if not wait:
                    return False
                time.sleep(0.5)
    import fcntl

    try:
        fcntl.flock(stream, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_current(root: Path, extras: tuple[str, ...]) -> bool:
    """Whether the stamp covers `extras`; a stamp of more extras covers fewer."""
    try:
        lines = (root / ".venv" / _STAMP).read_text().split()
    except OSError:
        return False
    return environment_python(root).exists() and stamp_value(root, extras) in lines


def _still_current(root: Path) -> set[str]:
    """Stamp values of single extras installed before, as far as what they stand for has not changed."""
    return {stamp_value(root, (extra,)) for extra in EXTRAS if _is_current(root, (extra,))}


def _install(root: Path, extras: tuple[str, ...]) -> None:
    version = sys.version_info[:2]
    if not SUPPORTED[0] <= version <= SUPPORTED[1]:
        raise SetupError(
            f"Python {version[0]}.{version[1]} is not supported. "
            "Start again with Python 3.10, 3.11, 3.12 or 3.13, for example: python3.12 main.py"
        )
    started = time.monotonic()
    print(f"Setting up the environment in {root / '.venv'} (once; the first time takes some minutes)", flush=True)
    if not environment_python(root).exists():
        _make_environment(root)
    wanted = f"{root}[{','.join(extras)}]" if extras else str(root)
    _pip(
        root,
        "install",
        "--progress-bar",
        "on",
        "--constraint",
        str(root / "constraints.txt"),
        *requirements(root, extras),
    )
    bare = bare_requirements(root, extras)
    if bare:
        _pip(root, "install", "--no-deps", *bare)
    values = {stamp_value(root, extras), stamp_value(root, ())} | _still_current(root)
    (root / ".venv" / _STAMP).write_text("\n".join(sorted(values)))
    print(f"Environment ready after {time.monotonic() - started:.0f} s ({wanted})", flush=True)


def _make_environment(root: Path) -> None:
    """A virtual environment; without its own pip where the system's Python lacks ensurepip."""
    target = str(root / ".venv")
    if subprocess.run([sys.executable, "-m", "venv", target], capture_output=True, text=True).returncode == 0:
        return
    shutil.rmtree(target, ignore_errors=True)
    bare = subprocess.run([sys.executable, "-m", "venv", "--without-pip", target], capture_output=True, text=True)
    if bare.returncode != 0:
        raise SetupError(f"No virtual environment could be made in {target}: {bare.stderr.strip()}")


def _pip(root: Path, *arguments: str) -> None:
    python = environment_python(root)
    own = subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True).returncode == 0
    command = [str(python), "-m", "pip"] if own else [sys.executable, "-m", "pip", "--python", str(python)]
    result = subprocess.run([*command, "--disable-pip-version-check", *arguments])
    if result.returncode != 0:
        raise SetupError(
            f"pip ended with exit code {result.returncode}. Read its last lines above: usually the network, the disk "
            "(15 GB are needed with the CUDA build of torch) or an old pip. Starting again resumes the set-up."
        )


def requirements(root: Path, extras: tuple[str, ...]) -> list[str]:
    """The requirement strings of pyproject.toml: dependencies plus the wanted extras."""
    wanted = _arrays(root, "project", ("dependencies",))
    return wanted + _arrays(root, _EXTRAS_SECTION, extras)


def bare_requirements(root: Path, extras: tuple[str, ...]) -> list[str]:
    """Packages of the extras whose own dependencies are not wanted (they serve one module of the package)."""
    return _arrays(root, "tool.atelier.without-dependencies", extras)


def _arrays(root: Path, section: str, names: tuple[str, ...]) -> list[str]:
    """The strings of the named arrays of a section of pyproject.toml, in file order.

    Read with a few lines of our own because tomllib is not in Python 3.10 and nothing is installed yet; the arrays
    in that file hold one quoted string a line (a test checks that tomllib reads the same).
    """
    found: list[str] = []
    is_collecting, current = False, ""
    for line in (root / "pyproject.toml").read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if is_collecting:
            if text.startswith("]"):
                is_collecting = False
            elif text.startswith(("'", '"')):
                found.append(text.rstrip(",")[1:-1])
        elif text.startswith("[") and text.endswith("]"):
            current = text.strip("[]")
        elif text.endswith("= [") and current == section and text.split(" ")[0] in names:
            is_collecting = True
    return found


def _restart(root: Path, arguments: list[str]) -> None:
    """Run main.py again with the environment's interpreter, in place of this process where the system allows."""
    python = str(environment_python(root))
    command = [python, str(root / "main.py"), *arguments]
    os.environ[_INSIDE] = "1"
    sys.stdout.flush()
    if os.name == "nt":
        raise SystemExit(subprocess.call(command))
    os.execv(python, command)
