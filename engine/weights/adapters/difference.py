"""Whole differences: of a weight ("diff"), of a bias ("diff_b"), of a norm's two ("w_norm", "b_norm")."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from engine.weights.adapters.tensors import ModuleTensors

__all__ = ["Difference"]

_WEIGHT_ROLES = ("diff", "w_norm")
_BIAS_ROLES = ("diff_b", "b_norm")


@dataclass(frozen=True, slots=True)
class Difference:
    """A tensor of the weight's own size that is added. alpha does not apply."""

    tensors: ModuleTensors
    role: str

    @classmethod
    def of(cls, tensors: ModuleTensors) -> Difference | None:
        """The change of the weight, if there is one."""
        return next((cls(tensors, role) for role in _WEIGHT_ROLES if role in tensors.shapes), None)

    @classmethod
    def of_bias(cls, tensors: ModuleTensors) -> Difference | None:
        """The change of the bias, if there is one."""
        return next((cls(tensors, role) for role in _BIAS_ROLES if role in tensors.shapes), None)

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether it has the weight's rows and values."""
        own = self.tensors.shapes[self.role]
        return own[:1] == shape[:1] and math.prod(own) == math.prod(shape)

    def change(self, weight: Tensor) -> Tensor:
        """The difference, of the weight's shape."""
        return self.tensors.read(self.role, weight).reshape(weight.shape)
