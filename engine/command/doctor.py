"""`main.py doctor`: versions, device, memory, SQLite, folders; what is missing and how to mend it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from engine.command.arguments import FlagParser, add_server_flags, settings_from_flags
from engine.command.environment import requirements
from engine.core.folders import Folders
from engine.core.settings import Settings
from engine.server.database import has_wal_reset_race

__all__ = ["Finding", "examine", "main"]

_GIB = 1 << 30
_DEVICE_PROBE = """
import json, sys, time
started = time.perf_counter()
import torch
from engine.memory.device import list_devices
print(json.dumps({"seconds": time.perf_counter() - started, "devices": [str(item) for item in list_devices()]}))
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `level` is ok, note or problem; `remedy` says what to do about a problem."""

    topic: str
    text: str
    level: str = "ok"
    remedy: str = ""


def main(root: Path, arguments: list[str]) -> int:
    """Print the report; returns 1 when something is a problem."""
    parser = FlagParser(prog="main.py doctor", description="Examine this installation.")
    parser.add_argument("--json", action="store_true")
    add_server_flags(parser)
    flags = parser.parse_args(arguments)
    findings = examine(root, settings_from_flags(root, flags, arguments))
    if flags.json:
        print(json.dumps([asdict(item) for item in findings], indent=2))
    else:
        for item in findings:
            mark = {"ok": " ", "note": "·", "problem": "!"}[item.level]
            print(f"{mark} {item.topic:<12} {item.text}")
            if item.remedy:
                print(f"{'':15}{item.remedy}")
    return 1 if any(item.level == "problem" for item in findings) else 0


def examine(root: Path, settings: Settings) -> list[Finding]:
    """Everything worth knowing before asking for help."""
    return [
        Finding("python", f"{platform.python_version()} at {sys.executable}"),
        Finding("system", f"{platform.platform()}, {os.cpu_count()} cores"),
        *_packages(root),
        *_devices(root),
        *_memory(),
        _sqlite(),
        *_folders(settings.folders),
        *_models(settings.folders),
    ]


def _packages(root: Path) -> list[Finding]:
    found = []
    for requirement in requirements(root, ()):
        name = re.split(r"[\[<>=~ ]", requirement)[0]
        try:
            found.append(Finding("package", f"{name} {importlib.metadata.version(name)}"))
        except importlib.metadata.PackageNotFoundError:
            remedy = "Delete .venv and start main.py again; it installs what is missing."
            found.append(Finding("package", f"{name} is missing", "problem", remedy))
    try:
        found.append(Finding("package", f"xformers {importlib.metadata.version('xformers')}"))
    except importlib.metadata.PackageNotFoundError:
        found.append(Finding("package", "xformers is not installed (optional; torch's own attention is used)", "note"))
    return found


def _devices(root: Path) -> list[Finding]:
    """Asked of a child process, because looking at a device loads torch."""
    probe = subprocess.run([sys.executable, "-c", _DEVICE_PROBE], cwd=root, capture_output=True, text=True)
    if probe.returncode != 0:
        return [Finding("device", f"torch does not load: {probe.stderr.strip()[-500:]}", "problem", "Delete .venv.")]
    facts = json.loads(probe.stdout.splitlines()[-1])
    lines = [Finding("device", text) for text in facts["devices"]]
    return [*lines, Finding("device", f"torch loads in {facts['seconds']:.1f} s")]


def _memory() -> list[Finding]:
    memory = psutil.virtual_memory()
    level = "problem" if memory.available < 2 * _GIB else "ok"
    remedy = "Close other programs, or use --max-ram." if level == "problem" else ""
    text = f"{memory.total / _GIB:.1f} GiB, {memory.available / _GIB:.1f} GiB available"
    return [Finding("memory", text, level, remedy)]


def _sqlite() -> Finding:
    version = sqlite3.sqlite_version
    if has_wal_reset_race(sqlite3.sqlite_version_info):
        return Finding("sqlite", f"{version}: has the WAL-reset race, kept out by locking the file for one connection")
    return Finding("sqlite", version)


def _folders(folders: Folders) -> list[Finding]:
    found = []
    for name in ("input", "output", "temp", "user"):
        path: Path = getattr(folders, name)
        if not path.exists():
            found.append(Finding("folder", f"{name}: {path} will be made on the first start", "note"))
        elif not os.access(path, os.W_OK):
            remedy = f"Make it writable or choose another with --{name}-directory."
            found.append(Finding("folder", f"{name}: {path} is not writable", "problem", remedy))
        else:
            free = shutil.disk_usage(path).free / _GIB
            found.append(Finding("folder", f"{name}: {path}, {free:.1f} GiB free", "ok" if free > 1 else "problem"))
    return found


def _models(folders: Folders) -> list[Finding]:
    counts = {kind: len(folders.model_names(kind)) for kind in ("checkpoints", "vae", "loras", "embeddings")}
    found = [Finding("models", ", ".join(f"{count} {kind}" for kind, count in counts.items()))]
    if not counts["checkpoints"]:
        where = folders.models["checkpoints"].paths[0]
        found.append(Finding("models", "no checkpoint", "note", f"Put a .safetensors checkpoint into {where}."))
    return found
