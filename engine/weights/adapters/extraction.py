"""An adapter file made of a difference of weights: the best product of two thin matrices for each, or all of it.

Source: Eckart & Young 1936 (the truncated singular value decomposition is the nearest matrix of its rank).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from engine.weights.patched import FinalWeights
from engine.weights.weight_file import FileTensor

__all__ = ["extracted_tensors"]

_DTYPE = torch.float16


def extracted_tensors(
    difference: FinalWeights,
    spellings: Mapping[str, str],
    rank: int,
    kind: Literal["standard", "full_diff"],
    *,
    biases: bool,
) -> dict[str, FileTensor]:
    """The tensors of an adapter file that adds `difference`, in float16, each computed when it is written.

    spellings: module → what the file calls it; modules without one are left out. kind: thin matrices of at most this
    rank, or whole differences. biases: whether biases and the weights of norms are in the file too.
    """
    tensors: dict[str, FileTensor] = {}
    for name, spec in difference.specs.items():
        module, _, role = name.rpartition(".")
        spelled = spellings.get(module)
        is_matrix = len(spec.shape) > 1
        if spelled is None or not (is_matrix or biases):
            continue
        if is_matrix and role == "weight" and kind == "standard":
            tensors |= _thin(spelled, difference, name, spec.shape, rank)
        elif role in ("weight", "bias"):
            key = f"{spelled}.diff" if role == "weight" else f"{spelled}.diff_b"
            tensors[key] = FileTensor(_DTYPE, spec.shape, _whole(difference, name))
    return tensors


def _whole(difference: FinalWeights, name: str) -> Callable[[], Tensor]:
    return lambda: difference.read(name)


def _thin(
    spelled: str, difference: FinalWeights, name: str, shape: tuple[int, ...], rank: int
) -> dict[str, FileTensor]:
    """up [o r (1 1)], down [r i (k k)] and alpha, which is the rank: the file's strength 1 is the difference."""
    rank = min(rank, shape[0], math.prod(shape[1:]))
    ones = (1,) * (len(shape) - 2)

    @lru_cache(maxsize=1)
    def factors() -> tuple[Tensor, Tensor]:
        left, values, right = torch.linalg.svd(difference.read(name).flatten(1), full_matrices=False)
        root = values[:rank].sqrt()
        return left[:, :rank] * root, right[:rank] * root[:, None]

    def down() -> Tensor:
        return factors()[1].reshape(rank, *shape[1:])

    def up() -> Tensor:
        # Files are written in the order of their keys, so this is the last use.
        found = factors()[0].reshape(shape[0], rank, *ones)
        factors.cache_clear()
        return found

    return {
        f"{spelled}.alpha": FileTensor(_DTYPE, (), lambda: torch.tensor(float(rank))),
        f"{spelled}.lora_up.weight": FileTensor(_DTYPE, (shape[0], rank, *ones), up),
        f"{spelled}.lora_down.weight": FileTensor(_DTYPE, (rank, *shape[1:]), down),
    }
