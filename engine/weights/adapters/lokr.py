"""LoKr: the Kronecker product of a small matrix and a larger one, either of them possibly of low rank.

Source: Yeh et al. 2023, arXiv:2309.14859, section 3; Edalati et al. 2022, arXiv:2212.10650.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.weights.adapters.tensors import ModuleTensors, scale_of

__all__ = ["KroneckerProduct"]


@dataclass(frozen=True, slots=True)
class KroneckerProduct:
    """w1 [a b] ⊗ w2 [o/a i/b·k·k]; each whole or as _a · _b, w2 also with a kernel t2 [r r k k] between.

    alpha scales the change only when a factor is of low rank: there is no rank to divide it by otherwise.
    """

    tensors: ModuleTensors

    @classmethod
    def of(cls, tensors: ModuleTensors) -> KroneckerProduct | None:
        """The change, if the tensors are of this algorithm."""
        roles = tensors.shapes.keys()
        is_whole = all(f"lokr_w{n}" in roles or {f"lokr_w{n}_a", f"lokr_w{n}_b"} <= roles for n in "12")
        return cls(tensors) if is_whole else None

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether the product has the weight's rows and values."""
        first, second = self._shape("1"), self._shape("2")
        rows, values = first[0] * second[0], math.prod(first) * math.prod(second)
        return rows == shape[0] and values == math.prod(shape) and self._has_chains()

    def change(self, weight: Tensor) -> Tensor:
        """The difference, of the weight's shape."""
        first, second = self._factor("1", weight), self._factor("2", weight)
        # The input axis of w2 is outside its kernel axes, so that flattening them leaves the order as it is.
        product = torch.kron(first, second.flatten(1)).reshape(weight.shape)
        rank = next((self.tensors.shapes[role][0] for role in self._right_roles()), None)
        return product if rank is None else product * scale_of(self.tensors, rank)

    def _right_roles(self) -> list[str]:
        return [role for role in ("lokr_w1_b", "lokr_w2_b") if role in self.tensors.shapes]

    def _factor(self, number: str, weight: Tensor) -> Tensor:
        if f"lokr_w{number}" in self.tensors.shapes:
            return self.tensors.read(f"lokr_w{number}", weight)
        left = self.tensors.read(f"lokr_w{number}_a", weight)
        right = self.tensors.read(f"lokr_w{number}_b", weight)
        if number == "2" and "lokr_t2" in self.tensors.shapes:
            return torch.einsum("pq...,po,qi->oi...", self.tensors.read("lokr_t2", weight), left, right)
        return left @ right

    def _shape(self, number: str) -> tuple[int, ...]:
        shapes = self.tensors.shapes
        if f"lokr_w{number}" in shapes:
            return shapes[f"lokr_w{number}"]
        left, right = shapes[f"lokr_w{number}_a"], shapes[f"lokr_w{number}_b"]
        if number == "2" and "lokr_t2" in shapes:
            return (left[1], right[1], *shapes["lokr_t2"][2:])
        return (left[0], right[1])

    def _has_chains(self) -> bool:
        shapes = self.tensors.shapes
        for role in self._right_roles():
            left, right = shapes[f"{role[:-2]}_a"], shapes[role]
            has_kernel = role == "lokr_w2_b" and "lokr_t2" in shapes
            if not has_kernel and left[1] != right[0]:
                return False
            if has_kernel and (left[0], right[0]) != shapes["lokr_t2"][:2]:
                return False
        return True
