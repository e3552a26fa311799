"""What the server is told about the worker's device and versions."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

import psutil
import torch

from engine.memory.device import Device, memory_facts
from engine.protocol.messages import Pong

__all__ = ["device_record", "make_pong", "version_record"]

_PACKAGES = ("torch", "numpy", "pillow", "safetensors", "kornia", "open_clip_torch", "xformers")


def device_record(device: Device) -> dict[str, Any]:
    """`WorkerReady.device`: {name, type, index, vram_total, vram_free, torch_vram_total, torch_vram_free} in bytes.

    For a CPU, memory of the host stands in for memory of the device; torch's own share is what its allocator holds.
    """
    facts = memory_facts(device)
    held, unused = facts.total_bytes, facts.free_bytes
    if device.kind == "cuda":
        held = int(torch.cuda.memory_reserved(device.index))
        unused = held - int(torch.cuda.memory_allocated(device.index))
    label = device.name if device.kind == "cpu" else f"{device.name} {device.description}"
    return {
        "name": label,
        "type": device.kind,
        "index": None if device.kind == "cpu" else device.index,
        "vram_total": facts.total_bytes,
        "vram_free": facts.free_bytes,
        "torch_vram_total": held,
        "torch_vram_free": unused,
    }


def version_record() -> dict[str, str]:
    """Versions of Python and of the packages that decide results; packages that are not installed are left out."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    versions["torch"] = torch.__version__  # with the build, "2.9.0+cu128"
    return versions


def make_pong(number: int, device: Device, jobs: list[str]) -> Pong:
    """The answer to a Ping, with the memory figures of now."""
    facts = memory_facts(device)
    ram_bytes = int(psutil.Process().memory_info().rss)
    return Pong(number, ram_bytes, facts.total_bytes, facts.free_bytes, jobs)
