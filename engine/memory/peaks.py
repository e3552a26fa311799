"""What forwards were seen to need, remembered for the next plan and for the next start."""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

__all__ = ["ActivationPeaks", "peak_key"]

_MARGIN = 1.02
"""What another run of the same shape may need more: kernels are chosen by what is free."""

_MAX_ENTRIES = 2000


def peak_key(structure: str, dtype: str, device: str, shape: Sequence[object]) -> str:
    """The key of a network's structure, computing in a dtype on a kind of device, for a shape of input without batch.

    It says nothing of the weights: every checkpoint of a structure shares what was learned from one.
    """
    return "/".join([structure, dtype, device, "x".join(map(str, shape))])


class ActivationPeaks:
    """Peak bytes of activations per item of a batch, by key. Thread-safe.

    path: a JSON file that is read when first needed and written whenever something was learned; None to forget. One
    that cannot be read or written costs what it knew and nothing else.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known: OrderedDict[str, tuple[int, bool]] | None = None
        self._lock = threading.Lock()

    def expected(self, key: str, num_items: int) -> int | None:
        """Bytes a forward of this many items will take, with a small margin; None when none was measured."""
        with self._lock:
            known = self._entries().get(key)
            return None if known is None else int(known[0] * num_items * _MARGIN)

    def is_settled(self, key: str) -> bool:
        """Whether a measurement without other things in it is known, so that none is needed."""
        with self._lock:
            return self._entries().get(key, (0, False))[1]

    def learn(self, key: str, num_items: int, num_bytes: int, *, is_exact: bool = True) -> None:
        """A forward of this many items took this much.

        is_exact: nothing else was counted with it; an upper bound never replaces such a figure.
        """
        item_bytes = -(-num_bytes // num_items)
        with self._lock:
            entries = self._entries()
            before = entries.get(key)
            if before is not None and not is_exact and (before[1] or before[0] <= item_bytes):
                return
            entries[key] = (item_bytes, is_exact)
            entries.move_to_end(key)
            while len(entries) > _MAX_ENTRIES:
                entries.popitem(last=False)
            self._write()

    def _entries(self) -> OrderedDict[str, tuple[int, bool]]:
        if self._known is None:
            self._known = OrderedDict(self._read())
        return self._known

    def _read(self) -> dict[str, tuple[int, bool]]:
        try:
            stored = json.loads(self._path.read_text(encoding="utf-8")) if self._path is not None else {}
            return {str(key): (int(item[0]), bool(item[1])) for key, item in stored.items()}
        except (OSError, ValueError, TypeError, AttributeError, LookupError):
            return {}

    def _write(self) -> None:
        """Replace the file by what is known here and by other workers."""
        if self._path is None or self._known is None:
            return
        merged = {**self._read(), **self._known}
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(merged), encoding="utf-8")
            temporary.replace(self._path)
        except OSError:
            temporary.unlink(missing_ok=True)
