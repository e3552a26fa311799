"""Which artifacts are on disk, by address and size. Reads and writes nothing itself; the worker loop does."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from engine.core.ids import Address

__all__ = ["DiskIndex"]

_MAX_ENTRIES = 5_000
"""Small values would fit the budget by the million, and each takes memory here and time when a worker starts."""


class DiskIndex:
    """The stored artifacts in order of use, within a budget of bytes and a number of them.

    Addresses that no longer fit are handed out once by `take_dropped`; whoever owns the files deletes them.

    Args:
        max_bytes: budget; 0 keeps nothing.
        stored: sizes of what is there already, least recently used first.
        max_entries: how many artifacts are kept at most.
    """

    def __init__(
        self, max_bytes: int, stored: Mapping[Address, int] | None = None, max_entries: int = _MAX_ENTRIES
    ) -> None:
        self.max_bytes = max_bytes
        self.max_entries = max_entries
        self.total_bytes = 0
        self._sizes: OrderedDict[Address, int] = OrderedDict()
        self._dropped: list[Address] = []
        for address, size_bytes in (stored or {}).items():
            self.add(address, size_bytes)

    def __contains__(self, address: object) -> bool:
        return address in self._sizes

    def __len__(self) -> int:
        return len(self._sizes)

    def add(self, address: Address, size_bytes: int) -> None:
        """Note a stored artifact as the most recently used one; drop the least recently used ones that are too many."""
        self.forget(address)
        self._sizes[address] = size_bytes
        self.total_bytes += size_bytes
        while self.total_bytes > self.max_bytes or len(self._sizes) > self.max_entries:
            oldest = next(iter(self._sizes))
            self.forget(oldest)
            self._dropped.append(oldest)

    def touch(self, address: Address) -> None:
        """Make an artifact the most recently used one."""
        self._sizes.move_to_end(address)

    def forget(self, address: Address) -> None:
        """Strike an artifact out without asking for its file to be deleted (it is not there or not readable)."""
        self.total_bytes -= self._sizes.pop(address, 0)

    def clear(self) -> None:
        """Drop everything."""
        self._dropped.extend(self._sizes)
        self._sizes.clear()
        self.total_bytes = 0

    def take_dropped(self) -> list[Address]:
        """The addresses dropped since the last call that have not come back meanwhile."""
        dropped, self._dropped = self._dropped, []
        return [address for address in dropped if address not in self._sizes]
