"""Models of a job that waits for the device are told that they are next, while the device works for another job."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

from engine.core.ids import JobId, NodeId

__all__ = ["Foreseeable", "Foresight"]


@runtime_checkable
class Foreseeable(Protocol):
    """A value that can prepare for being used; most handles of models can."""

    def foresee(self) -> None:
        """It will be used soon. Must return at once."""
        ...


class Foresight:
    """Knows which jobs have nodes on the device. Changed on the loop's thread, asked on any."""

    def __init__(self) -> None:
        self._on_device: dict[JobId, set[NodeId]] = {}

    def begins(self, job: JobId, node: NodeId, values: Iterable[Any]) -> None:
        """A node goes to the device with these arguments, and may have to wait there."""
        self.made(job, values)
        self._on_device.setdefault(job, set()).add(node)

    def made(self, job: JobId, values: Iterable[Any]) -> None:
        """A node of the job has made these values, which a later one may take to the device."""
        if len(self._on_device) > (job in self._on_device):
            for value in values:
                if isinstance(value, Foreseeable):
                    value.foresee()

    def ended(self, job: JobId, node: NodeId) -> None:
        """The node, on the device or not, is done."""
        nodes = self._on_device.get(job)
        if nodes is not None:
            nodes.discard(node)
            if not nodes:
                del self._on_device[job]

    def forget(self, job: JobId) -> None:
        """The job is over."""
        self._on_device.pop(job, None)
