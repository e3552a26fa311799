"""The CPU as a device with memory of its own, and how much of it was taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch.autograd.profiler import profile

from engine.memory.device import Device

__all__ = ["SeparateDevice", "allocated_peak"]

T = TypeVar("T")


class SeparateDevice(Device):
    """A device that computes on the CPU but counts as having memory of its own."""

    @property
    def shares_host_memory(self) -> bool:
        return False


def allocated_peak(call: Callable[[], T]) -> tuple[T, int]:
    """What the call returns, and the most bytes torch's own CPU allocator had handed out at once meanwhile."""
    with profile(profile_memory=True) as recorded:
        value = call()
    results: Any = recorded.kineto_results
    sizes = [(event.start_ns(), event.nbytes()) for event in results.events() if event.name() == "[memory]"]
    taken = peak = 0
    for _, num_bytes in sorted(sizes, key=lambda item: item[0]):
        taken += num_bytes
        peak = max(peak, taken)
    return value, peak
