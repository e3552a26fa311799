"""LoHa: the elementwise product of two low-rank matrices.

Source: Hyeon-Woo et al. 2021, arXiv:2108.06098, equation 5; Yeh et al. 2023, arXiv:2309.14859, section 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.weights.adapters.tensors import ModuleTensors, scale_of

__all__ = ["HadamardProduct"]

_ROLES = frozenset({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"})


@dataclass(frozen=True, slots=True)
class HadamardProduct:
    """(w1_a [o r] · w1_b [r i·k·k]) ∘ (w2_a · w2_b); with kernels t [r r k k], w_a is [r o] and w_b [r i]."""

    tensors: ModuleTensors

    @classmethod
    def of(cls, tensors: ModuleTensors) -> HadamardProduct | None:
        """The change, if the tensors are of this algorithm."""
        return cls(tensors) if tensors.shapes.keys() >= _ROLES else None

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether both factors have the weight's rows and values."""
        return all(self._factor_fits(number, shape) for number in "12")

    def change(self, weight: Tensor) -> Tensor:
        """The difference, of the weight's shape."""
        rank = self.tensors.shapes["hada_w1_b"][0]
        product = self._factor("1", weight) * self._factor("2", weight)
        return product.reshape(weight.shape) * scale_of(self.tensors, rank)

    def _factor(self, number: str, weight: Tensor) -> Tensor:
        left = self.tensors.read(f"hada_w{number}_a", weight)
        right = self.tensors.read(f"hada_w{number}_b", weight)
        if f"hada_t{number}" in self.tensors.shapes:
            kernel = self.tensors.read(f"hada_t{number}", weight)
            return torch.einsum("pq...,po,qi->oi...", kernel, left, right)
        return left @ right

    def _factor_fits(self, number: str, shape: tuple[int, ...]) -> bool:
        shapes = self.tensors.shapes
        left, right = shapes[f"hada_w{number}_a"], shapes[f"hada_w{number}_b"]
        kernel = shapes.get(f"hada_t{number}")
        if kernel is None:
            return (left[0], left[1]) == (shape[0], right[0]) and right[1] == math.prod(shape[1:])
        has_chain = (left[0], right[0]) == kernel[:2]
        return has_chain and left[1] == shape[0] and right[1] * math.prod(kernel[2:]) == math.prod(shape[1:])
