"""LoRA: the product of two thin matrices, for convolutions with an optional small kernel between (LoCon, Tucker).

Source: Hu et al. 2021, arXiv:2106.09685, equation 3; Yeh et al. 2023, arXiv:2309.14859, section 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.weights.adapters.tensors import ModuleTensors, scale_of

__all__ = ["LowRank"]


@dataclass(frozen=True, slots=True)
class LowRank:
    """up [o r (1 1)] · down [r i (k k)], or up · mid [r r k k] · down [r i 1 1]."""

    tensors: ModuleTensors

    @classmethod
    def of(cls, tensors: ModuleTensors) -> LowRank | None:
        """The change, if the tensors are of this algorithm."""
        return cls(tensors) if {"lora_up", "lora_down"} <= tensors.shapes.keys() else None

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether the product has the weight's rows and values."""
        shapes = self.tensors.shapes
        up, down, mid = shapes["lora_up"], shapes["lora_down"], shapes.get("lora_mid")
        kernel = 1 if mid is None else math.prod(mid[2:])
        is_chain = up[1] == down[0] if mid is None else (up[1], down[0]) == mid[:2]
        return is_chain and up[0] == shape[0] and math.prod(down[1:]) * kernel == math.prod(shape[1:])

    def change(self, weight: Tensor) -> Tensor:
        """The difference, of the weight's shape."""
        up, down = self.tensors.read("lora_up", weight), self.tensors.read("lora_down", weight)
        rank = down.shape[0]
        if "lora_mid" in self.tensors.shapes:
            mid = self.tensors.read("lora_mid", weight)
            product = torch.einsum("op,pq...,qi->oi...", up.flatten(1), mid, down.flatten(1))
        else:
            product = up.flatten(1) @ down.flatten(1)
        return product.reshape(weight.shape) * scale_of(self.tensors, rank)
