"""DoRA: another change, after which every row (or column) of the weight is given a learned length.

Source: Liu et al. 2024, arXiv:2402.09353, equation 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.weights.adapters.tensors import Change, ModuleTensors

__all__ = ["LearnedLengths"]

_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class LearnedLengths:
    """W' = m · (W + ΔW) / ‖W + ΔW‖.

    `magnitude` holds one length for each output. `dora_scale` does too ([o 1 (1 1)]), or in files of older tools one
    for each input ([1 i (1 1)]). Between strengths the change is linear.
    """

    inner: Change
    tensors: ModuleTensors

    @classmethod
    def around(cls, inner: Change, tensors: ModuleTensors) -> Change:
        """The change with its lengths, if the tensors hold any."""
        return cls(inner, tensors) if _role(tensors) else inner

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether the inner change fits and there is a length for every row or column."""
        return self.inner.fits(shape) and self._count() == shape[self._axis()]

    def change(self, weight: Tensor) -> Tensor:
        """The difference, of the weight's shape."""
        changed = weight + self.inner.change(weight)
        axis = self._axis()
        others = tuple(index for index in range(weight.ndim) if index != axis)
        sizes = [-1 if index == axis else 1 for index in range(weight.ndim)]
        lengths = torch.linalg.vector_norm(changed, dim=others, keepdim=True).clamp_min(_TINY)
        wanted = self.tensors.read(_role(self.tensors), weight).reshape(sizes)
        return changed * (wanted / lengths) - weight

    def _axis(self) -> int:
        """The axis lengths belong to: 0 for outputs, 1 for inputs."""
        shape = self.tensors.shapes.get("dora_scale", ())
        return 1 if len(shape) > 1 and shape[0] == 1 and shape[1] > 1 else 0

    def _count(self) -> int:
        return max(self.tensors.shapes[_role(self.tensors)], default=1)


def _role(tensors: ModuleTensors) -> str:
    return next((role for role in ("dora_scale", "magnitude") if role in tensors.shapes), "")
