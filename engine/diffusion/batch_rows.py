"""Tensors whose leading axis is 1, shared by all items, or one row for each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["pick_rows", "stack_rows"]


def pick_rows(tensor: Tensor, start: int, stop: int) -> Tensor:
    """The rows of items start..stop-1; a shared tensor stays shared."""
    return tensor if tensor.shape[0] == 1 else tensor[start:stop]


def stack_rows(tensors: Sequence[Tensor], num_items: Sequence[int]) -> Tensor:
    """`num_items[i]` rows of each."""
    rows = [t.expand(n, *t.shape[1:]) for t, n in zip(tensors, num_items, strict=True)]
    return rows[0] if len(rows) == 1 else torch.cat(rows)
