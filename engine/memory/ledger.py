"""What happened to the weights of a device and why, in order: the memory story a job tells when it is over.

Beside it: the most that forwards held since somebody asked, for the node they ran in.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

__all__ = ["KINDS", "MemoryChange", "MemoryLedger"]

KINDS = {
    "loaded": "weights were brought to the device to stay",
    "mapped": "the weights are used from the file as they are",
    "cast": "the weights are brought into the compute dtype for each use",
    "streamed": "weights are copied to the device for each use",
    "shrunk": "a part of a network's weights left the device",
    "evicted": "a network left the device",
    "prefetched": "weights came while another network computed, before they were needed",
    "split": "a batch was computed in parts",
    "tiled": "a picture was computed in tiles",
    "retried": "an allocation failed, and the forward is tried in another way",
    "refused": "no plan fits the budget",
    "widened": "a result overflowed; it is computed again in a wider precision, and so is what follows",
    "compiling": "the network is compiled beside the job, and runs as it is until that is done",
    "uncompiled": "the network could not be compiled and runs as it is",
}
"""Kind of change → what it means. Bytes are those that came, went or are moved in each forward."""

_MAX_CHANGES = 2000


@dataclass(frozen=True, slots=True)
class MemoryChange:
    """One change. `what` names the network by its part and file; `why` is a phrase, "" where the kind says it all."""

    number: int
    kind: str
    what: str
    num_bytes: int
    why: str = ""


class MemoryLedger:
    """The newest changes, numbered through. Thread-safe."""

    def __init__(self) -> None:
        self._changes: deque[MemoryChange] = deque(maxlen=_MAX_CHANGES)
        self._count = 0
        self._lock = threading.Lock()
        self._held = threading.local()

    @property
    def position(self) -> int:
        """The number of the next change; give it to `since` to hear what happened from now on."""
        with self._lock:
            return self._count

    def note(self, kind: str, what: str, num_bytes: int, why: str = "") -> None:
        """Write down a change of one of KINDS."""
        with self._lock:
            self._changes.append(MemoryChange(self._count, kind, what, num_bytes, why))
            self._count += 1

    def note_held(self, num_bytes: int) -> None:
        """A forward of the calling thread held this much: its weights on the device and its activations."""
        self._held.most_bytes = max(num_bytes, getattr(self._held, "most_bytes", 0))

    def take_held(self) -> int:
        """The most a forward of the calling thread held since it was last asked for; 0 where none ran."""
        most_bytes = int(getattr(self._held, "most_bytes", 0))
        self._held.most_bytes = 0
        return most_bytes

    def since(self, position: int) -> list[MemoryChange]:
        """The changes from this position on, as far as they are still known."""
        with self._lock:
            return [change for change in self._changes if change.number >= position]
