"""GLoRA: one low-rank matrix added, another that mixes the weight's own inputs.

Source: Chavan et al. 2023, arXiv:2306.07967, in the form of LyCORIS: W·A + B with A = a1·a2 and B = b1·b2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.weights.adapters.tensors import ModuleTensors, scale_of

__all__ = ["MixedInputs"]

_ROLES = frozenset({"glora_a1", "glora_a2", "glora_b1", "glora_b2"})


@dataclass(frozen=True, slots=True)
class MixedInputs:
    """a1 [i r], a2 [r i], b1 [o r], b2 [r i (k k)]; with a kernel bm [r r k k], b2 is [r i 1 1]."""

    tensors: ModuleTensors

    @classmethod
    def of(cls, tensors: ModuleTensors) -> MixedInputs | None:
        """The change, if the tensors are of this algorithm."""
        return cls(tensors) if tensors.shapes.keys() >= _ROLES else None

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether A is square over the inputs and B has the weight's rows and values."""
        shapes = self.tensors.shapes
        a1, a2, b1, b2 = (shapes[f"glora_{role}"] for role in ("a1", "a2", "b1", "b2"))
        kernel = shapes.get("glora_bm", ())
        is_a = a1[:2] == (shape[1], a2[0]) and a2[1] == shape[1] if len(shape) > 1 else False
        is_b = (b1[0], b1[1]) == (shape[0], b2[0])
        return is_a and is_b and math.prod(b2[1:]) * math.prod(kernel[2:]) == math.prod(shape[1:])

    def change(self, weight: Tensor) -> Tensor:
        """The difference, of the weight's shape."""
        a1, a2, b1, b2 = (self.tensors.read(f"glora_{role}", weight).flatten(1) for role in ("a1", "a2", "b1", "b2"))
        mixed = torch.einsum("oi...,ir,rj->oj...", weight, a1.to(weight.dtype), a2.to(weight.dtype))
        if "glora_bm" in self.tensors.shapes:
            added = torch.einsum("op,pq...,qi->oi...", b1, self.tensors.read("glora_bm", weight), b2)
        else:
            added = b1 @ b2
        return (mixed + added.reshape(weight.shape)) * scale_of(self.tensors, b2.shape[0])
