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
from typing import Any

import psutil

from engine.command.arguments import FlagParser, add_server_flags, settings_from_flags
from engine.command.environment import requirements
from engine.command.memory_story import memory_lines, read_memory_story
from engine.core.folders import Folders
from engine.core.settings import Settings, settings_to_json
from engine.server.database import has_wal_reset_race

__all__ = ["Finding", "examine", "main"]

_GIB = 1 << 30
_DEVICE_PROBE = """
import json, sys, time
started = time.perf_counter()
import torch
seconds = time.perf_counter() - started
from engine.core.settings import settings_from_json
from engine.families.model_store import hosts_from_settings
from engine.memory.attention_kernels import attention_kernels
from engine.memory.device import list_devices
hosts = hosts_from_settings(settings_from_json(json.loads(sys.argv[1])))
print(json.dumps({
    "seconds": seconds,
    "devices": [
        {"text": str(item), "name": item.name, "kernels": [k.name for k in attention_kernels(item) if k.is_available]}
        for item in list_devices()
    ],
    "plans": list({host.device.name: [host.budget_bytes, host.mode.value] for host in hosts.values()}.items()),
}))
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
    parser.add_argument("--job", metavar="ID", help="tell the memory story of a job of the running server instead")
    add_server_flags(parser)
    flags = parser.parse_args(arguments)
    settings = settings_from_flags(root, flags, arguments)
    if flags.job is not None:
        story = read_memory_story(settings, flags.job)
        print(json.dumps(story, indent=2) if flags.json else "\n".join(memory_lines(story)))
        return 0
    findings = examine(root, settings)
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
        *_devices(root, settings),
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


def _devices(root: Path, settings: Settings) -> list[Finding]:
    """Asked of a child process, because looking at a device loads torch."""
    command = [sys.executable, "-c", _DEVICE_PROBE, json.dumps(settings_to_json(settings))]
    probe = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if probe.returncode != 0:
        return [Finding("device", f"torch does not load: {probe.stderr.strip()[-500:]}", "problem", "Delete .venv.")]
    facts = json.loads(probe.stdout.splitlines()[-1])
    lines = [Finding("device", item["text"]) for item in facts["devices"]]
    lines.append(Finding("device", f"torch loads in {facts['seconds']:.1f} s"))
    for item in facts["devices"]:
        lines.append(Finding("attention", f"{item['name']}: {', '.join(item['kernels'])} (the first that can is used)"))
    return [*lines, *_plans(facts["plans"], settings)]


def _plans(plans: list[list[Any]], settings: Settings) -> list[Finding]:
    """What networks may take of each device that is used with these flags."""
    found = []
    for device, (budget_bytes, mode) in plans:
        text = f"{device}: weights and activations may take {budget_bytes / _GIB:.2f} GiB"
        text += "; weights are streamed" if mode == "stream" else "; what fits stays, the rest is streamed"
        found.append(Finding("memory plan", text))
    if settings.memory.pinned:
        found.append(Finding("memory plan", f"kept loaded: {', '.join(settings.memory.pinned)}"))
    return found


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
