"""The architecture as checks: import contracts, and the server process without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)


def test_the_layer_contracts_hold() -> None:
    code = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    result = run("-W", "ignore", "-c", code)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]


def test_importing_the_whole_server_side_loads_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, pkgutil, importlib\n"
        "import engine.server, engine.compat.comfyui.server, engine.command\n"
        "for package in (engine.server, engine.compat.comfyui.server, engine.command):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if '.migrations.' not in module.name:\n"
        "            importlib.import_module(module.name)\n"
        "print(sorted(name for name in ('torch', 'numpy', 'safetensors', 'kornia') if name in sys.modules))\n"
    )
    result = run("-c", code)
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


PURITY = """
import importlib, os, pkgutil, sys
import torch, torchvision, numpy, kornia, PIL.Image, aiohttp.web, sqlalchemy, alembic.command, yaml, regex
import safetensors.torch
import psutil, einops, sysconfig, importlib.metadata, sqlite3, multiprocessing, asyncio
ROOT = {root!r}
found = []
def owner():
    frame = sys._getframe(2)
    while frame is not None and (frame.f_code.co_filename.startswith('<') or frame.f_code is is_ours.__code__):
        if frame.f_code.co_filename.startswith('<frozen importlib'):
            return ''  # the import machinery reads source files on behalf of whoever imports
        frame = frame.f_back
    return '' if frame is None else frame.f_code.co_filename
def is_ours():
    name = owner()
    return name.startswith(os.path.join(ROOT, 'engine')) or name.startswith(os.path.join(ROOT, 'nodes'))
def hook(event, arguments):
    if event in ('open', 'os.listdir', 'os.scandir', 'os.mkdir', 'subprocess.Popen', 'socket.connect') and is_ours():
        found.append((event, str(arguments[0]), owner()))
class Watched(type(os.environ)):
    def __getitem__(self, key):
        if is_ours():
            found.append(('environ', key, owner()))
        return super().__getitem__(key)
    def get(self, key, default=None):
        if is_ours():
            found.append(('environ', key, owner()))
        return super().get(key, default)
os.environ.__class__ = Watched
original = torch.cuda.is_available
def probe():
    if is_ours():
        found.append(('device', 'cuda.is_available', owner()))
    return original()
torch.cuda.is_available = probe
sys.addaudithook(hook)
import engine, nodes
for package in (engine, nodes):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):
        if '.migrations.' in module.name or module.name.endswith('__main__'):
            continue
        importlib.import_module(module.name)
print(found)
"""


def test_importing_any_module_reads_no_environment_touches_no_disk_and_probes_no_device() -> None:
    result = run("-W", "ignore", "-c", PURITY.format(root=str(ROOT)))
    assert result.stdout.strip() == "[]", result.stdout + result.stderr[-3000:]
