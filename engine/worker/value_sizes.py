"""How many bytes a node value holds on to, for the cache."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import torch

__all__ = ["size_of"]

_OBJECT_BYTES = 64


def size_of(value: Any) -> int:
    """Bytes of a value: tensors by what they show of their storage, shared storage once; containers by what they hold.

    Handles of models own no weights (those belong to the residency) and count as small objects. Works without
    recursion, so deep values are no problem.
    """
    total, waiting = 0, [value]
    seen: set[int] = set()
    shown: dict[int, tuple[int, int]] = {}
    while waiting:
        item = waiting.pop()
        if isinstance(item, torch.Tensor):
            total += _OBJECT_BYTES + _note_tensor(item, shown)
        elif item is None or isinstance(item, (bool, int, float)):
            total += 16
        elif isinstance(item, (str, bytes, bytearray)):
            total += sys.getsizeof(item)
        elif isinstance(item, (Mapping, list, tuple, set, frozenset)):
            if id(item) in seen:
                continue
            seen.add(id(item))
            total += _OBJECT_BYTES
            waiting.extend(item.values() if isinstance(item, Mapping) else item)
        else:
            total += _plain_object_bytes(item)
    return total + sum(min(bytes_shown, capacity) for bytes_shown, capacity in shown.values())


def _note_tensor(tensor: torch.Tensor, shown: dict[int, tuple[int, int]]) -> int:
    """Add up what tensors show of each storage, or give the bytes of a tensor that has no storage to share."""
    own = tensor.numel() * tensor.element_size()
    if tensor.layout is not torch.strided or tensor.device.type == "meta":
        return own
    storage = tensor.untyped_storage()
    before, _ = shown.get(storage.data_ptr(), (0, 0))
    shown[storage.data_ptr()] = (before + own, storage.nbytes())
    return 0


def _plain_object_bytes(item: Any) -> int:
    nbytes = getattr(item, "nbytes", None)  # numpy arrays and their like
    return _OBJECT_BYTES + (nbytes if isinstance(nbytes, int) else 0)
