"""First tensors of an adapter, by algorithm: random ones, and zeros where that makes the change nothing at first."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

from engine.training.randomness import derived_seed

__all__ = ["ALGORITHMS", "Algorithm", "first_tensors"]

Algorithm = Literal["lora", "loha", "lokr", "oft"]
ALGORITHMS: tuple[Algorithm, ...] = ("lora", "loha", "lokr", "oft")

_MAX_FACTOR = 8
"""Rows and columns of the small matrix of a Kronecker product, at most. Source: LyCORIS' usual factor."""

Draw = Callable[[str, tuple[int, ...], float], Tensor]


def first_tensors(algorithm: Algorithm, shape: tuple[int, ...], rank: int, seed: int, name: str) -> dict[str, Tensor]:
    """Tensors by role for a weight of this shape ([o i] or [o i k k]); float32 on the CPU.

    Args:
        rank: inner width of products; for `oft` the rows of a block, at most.
        seed, name: every tensor is drawn from a generator of its own, made from these.
    """

    def draw(role: str, sizes: tuple[int, ...], spread: float) -> Tensor:
        generator = torch.Generator().manual_seed(derived_seed(seed, "adapter", name, role))
        return torch.randn(sizes, generator=generator) * spread

    return _MAKERS[algorithm](shape, rank, draw)


def _lora(shape: tuple[int, ...], rank: int, draw: Draw) -> dict[str, Tensor]:
    """Source: Hu et al. 2021, arXiv:2106.09685, section 4.1; the spread of torch's own linear layers."""
    ones = (1,) * (len(shape) - 2)
    spread = 1 / math.sqrt(3 * math.prod(shape[1:]))
    return {
        "lora_down": draw("lora_down", (rank, *shape[1:]), spread),
        "lora_up": torch.zeros(shape[0], rank, *ones),
    }


def _loha(shape: tuple[int, ...], rank: int, draw: Draw) -> dict[str, Tensor]:
    """Source: Hyeon-Woo et al. 2021, arXiv:2108.06098, with LyCORIS' spreads."""
    values = math.prod(shape[1:])
    return {
        "hada_w1_a": draw("hada_w1_a", (shape[0], rank), 0.1),
        "hada_w1_b": draw("hada_w1_b", (rank, values), 1.0),
        "hada_w2_a": torch.zeros(shape[0], rank),
        "hada_w2_b": draw("hada_w2_b", (rank, values), 1.0),
    }


def _lokr(shape: tuple[int, ...], rank: int, draw: Draw) -> dict[str, Tensor]:
    """Source: Yeh et al. 2023, arXiv:2309.14859, section 3; the large factor of low rank where that is smaller."""
    rows, columns = _divisor(shape[0], _MAX_FACTOR), _divisor(shape[1], _MAX_FACTOR)
    large = (shape[0] // rows, shape[1] // columns * math.prod(shape[2:]))
    tensors = {"lokr_w1": draw("lokr_w1", (rows, columns), 1 / math.sqrt(3 * columns))}
    if rank * sum(large) < math.prod(large):
        tensors["lokr_w2_a"] = torch.zeros(large[0], rank)
        tensors["lokr_w2_b"] = draw("lokr_w2_b", (rank, large[1]), 1 / math.sqrt(3 * large[1]))
    else:
        tensors["lokr_w2"] = torch.zeros(large)
    return tensors


def _oft(shape: tuple[int, ...], rank: int, draw: Draw) -> dict[str, Tensor]:
    """Source: Qiu et al. 2023, arXiv:2306.07280, section 4."""
    size = _divisor(shape[0], max(2, rank))
    return {"oft_blocks": torch.zeros(shape[0] // size, size, size)}


def _divisor(number: int, limit: int) -> int:
    """The largest divisor of a number that is no larger than the limit."""
    return max(size for size in range(1, min(number, limit) + 1) if number % size == 0)


_MAKERS: Mapping[Algorithm, Callable[[tuple[int, ...], int, Draw], dict[str, Tensor]]] = {
    "lora": _lora,
    "loha": _loha,
    "lokr": _lokr,
    "oft": _oft,
}
