"""Devices and their memory: the only module that asks torch or the operating system for such facts.

Nothing is asked at import; every function asks when it is called.
"""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from engine.core.errors import SettingsError
from engine.memory.host_heap import trim_heap

__all__ = [
    "Device",
    "MemoryFacts",
    "cpu_device",
    "find_device",
    "is_out_of_memory",
    "list_devices",
    "memory_facts",
    "prefer_deterministic_kernels",
    "release_cached_memory",
    "room_bytes",
    "supports_bfloat16",
]

_ACCELERATORS = ("cuda", "xpu", "mps")
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True, slots=True)
class Device:
    """A place where networks run. `kind` is cpu, cuda (also ROCm), xpu or mps."""

    kind: str
    index: int = 0
    description: str = ""

    @property
    def name(self) -> str:
        """As torch spells it: "cpu", "cuda:0"."""
        return self.kind if self.kind in ("cpu", "mps") else f"{self.kind}:{self.index}"

    @property
    def torch(self) -> torch.device:
        """The device as torch takes it."""
        return torch.device(self.name)

    @property
    def shares_host_memory(self) -> bool:
        """Weights in host memory can be used where they are."""
        return self.kind == "cpu"


@dataclass(frozen=True, slots=True)
class MemoryFacts:
    """Bytes of a device, now."""

    total_bytes: int
    free_bytes: int


def cpu_device() -> Device:
    """The host's processors."""
    return Device("cpu", 0, "CPU")


def list_devices() -> tuple[Device, ...]:
    """All devices torch can use here, accelerators first, the CPU last."""
    found: list[Device] = []
    for kind in _ACCELERATORS:
        module = getattr(torch, kind, None)
        if module is None or not module.is_available():
            continue
        for index in range(1 if kind == "mps" else module.device_count()):
            label = "Apple GPU" if kind == "mps" else str(module.get_device_name(index))
            found.append(Device(kind, index, label))
    return (*found, cpu_device())


def find_device(name: str | None) -> Device:
    """The device called `name` ("cpu", "cuda", "cuda:1"); None means the first accelerator, or the CPU.

    Raises SettingsError for a device that is not here.
    """
    devices = list_devices()
    if name is None:
        return devices[0]
    for device in devices:
        if name in (device.name, device.kind):
            return device
    names = ", ".join(device.name for device in devices)
    raise SettingsError(f"There is no device {name!r} here.", code="unknown_device", hint=f"Available: {names}.")


def memory_facts(device: Device) -> MemoryFacts:
    """Total and free bytes of a device; for the CPU what this process may use, a container's limit included."""
    if device.kind in ("cuda", "xpu"):
        free, total = getattr(torch, device.kind).mem_get_info(device.index)
        return MemoryFacts(int(total), int(free))
    host = psutil.virtual_memory()
    total, free = int(host.total), int(host.available)
    if device.kind == "mps":
        total = int(torch.mps.recommended_max_memory())
        return MemoryFacts(total, max(0, min(free, total - int(torch.mps.driver_allocated_memory()))))
    limit = _cgroup_limit()
    if limit is not None and limit < total:
        used = int(psutil.Process().memory_info().rss)
        total, free = limit, max(0, min(free, limit - used))
    return MemoryFacts(total, free)


def room_bytes(device: Device, otherwise: int) -> int:
    """What this process may take of a device now: what is free and what torch holds already.

    `otherwise` where that is not known, or where other programs give way (the host's memory is shared by all).
    """
    if device.kind not in ("cuda", "xpu"):
        return otherwise
    held = int(getattr(torch, device.kind).memory_reserved(device.index))
    return memory_facts(device).free_bytes + held


def supports_bfloat16(device: Device) -> bool:
    """Whether bfloat16 is computed natively rather than emulated."""
    if device.kind == "cuda":
        return torch.version.hip is not None or torch.cuda.get_device_capability(device.index) >= (8, 0)
    return device.kind == "xpu"


def prefer_deterministic_kernels() -> None:
    """Let this process use kernels that give the same bits each time, where there are any. Before the first forward."""
    # cuBLAS reads it when it is first used; without it its results depend on the workspace it happens to get.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that an allocation failed."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(
        sign in str(error) for sign in ("out of memory", "can't allocate memory", "DefaultCPUAllocator")
    )


def release_cached_memory(device: Device) -> None:
    """Return memory that torch or the C library keeps for later to the driver and the system."""
    gc.collect()
    trim_heap()
    if device.kind in _ACCELERATORS:
        getattr(torch, device.kind).empty_cache()


def _cgroup_limit() -> int | None:
    for name in _CGROUP_LIMITS:
        try:
            text = Path(name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            return int(text)
    return None
