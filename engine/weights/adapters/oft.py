"""OFT and BOFT: the rows of a weight are turned by orthogonal matrices, in blocks or in butterfly stages of blocks.

Source: Qiu et al. 2023, arXiv:2306.07280, section 4; Liu et al. 2023, arXiv:2311.06243, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.weights.adapters.tensors import ModuleTensors

__all__ = ["OrthogonalTurn"]


@dataclass(frozen=True, slots=True)
class OrthogonalTurn:
    """oft_blocks [n s s], or [m n s s] for m butterfly stages; optionally each row rescaled afterwards.

    A block B stands for the Cayley transform (I + Q)(I - Q)^-1 of Q = B - Bᵀ. alpha times the number of rows, where it
    is positive, bounds the norm of all Q together. Between strengths the change is linear, so only strengths 0 and 1
    are turns exactly.
    """

    tensors: ModuleTensors

    @classmethod
    def of(cls, tensors: ModuleTensors) -> OrthogonalTurn | None:
        """The change, if the tensors are of this algorithm."""
        return cls(tensors) if "oft_blocks" in tensors.shapes else None

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether the blocks make up the weight's rows."""
        blocks = self.tensors.shapes["oft_blocks"]
        is_square = len(blocks) in (3, 4) and blocks[-1] == blocks[-2]
        is_butterfly = len(blocks) == 4
        is_even = not is_butterfly or (blocks[-1] % 2 == 0 and shape[0] % (2 ** blocks[0] * (blocks[-1] // 2)) == 0)
        return is_square and is_even and blocks[-3] * blocks[-1] == shape[0]

    def change(self, weight: Tensor) -> Tensor:
        """The difference, of the weight's shape."""
        turns = self._turns(weight)
        if turns.ndim == 4:
            turned = weight
            for stage, turn in enumerate(turns):
                turned = _butterfly(turned, turn, stage)
        else:
            rows = weight.unflatten(0, turns.shape[:2])
            turned = torch.einsum("knm,kn...->km...", turns, rows.to(turns.dtype)).flatten(0, 1)
        if "rescale" in self.tensors.shapes:
            factors = self.tensors.read("rescale", weight)
            turned = turned * factors.reshape(-1, *(1,) * (weight.ndim - 1))
        return turned - weight

    def _turns(self, weight: Tensor) -> Tensor:
        blocks = self.tensors.read("oft_blocks", weight)
        skew = blocks - blocks.transpose(-1, -2)
        limit = (self.tensors.alpha or 0.0) * weight.shape[0]
        if limit > 0:
            norm = skew.norm() + 1e-8
            skew = skew * torch.clamp(limit / norm, max=1.0)
        identity = torch.eye(blocks.shape[-1], device=blocks.device, dtype=blocks.dtype)
        # (I + Q) and (I - Q)^-1 commute, so solving from the left gives the same matrix.
        return torch.linalg.solve(identity - skew, identity + skew)


def _butterfly(weight: Tensor, turn: Tensor, stage: int) -> Tensor:
    """One stage: rows that lie 2^stage half blocks apart are brought side by side, turned, and put back."""
    size = turn.shape[-1]
    distance = 2**stage * (size // 2)
    paired = weight.unflatten(0, (-1, 2, distance)).transpose(1, 2).flatten(0, 2).unflatten(0, (-1, size))
    turned = torch.einsum("bij,bj...->bi...", turn, paired.to(turn.dtype)).flatten(0, 1)
    return turned.unflatten(0, (-1, distance, 2)).transpose(1, 2).flatten(0, 2)
