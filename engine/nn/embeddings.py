"""Embeddings of numbers and tokens."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from engine.nn.layers import Embedding

__all__ = ["ClassTable", "TokenEmbedding", "sinusoidal_embedding"]


def sinusoidal_embedding(values: Tensor, width: int, max_period: float = 10_000.0) -> Tensor:
    """Cosines, then sines, of values [b] at falling frequencies: float32 [b width].

    Source: Vaswani et al. 2017, section 3.5, in the order of guided-diffusion's `timestep_embedding`.
    """
    half = width // 2
    steps = torch.arange(half, dtype=torch.float32, device=values.device)
    angles = values.float()[:, None] * torch.exp(-math.log(max_period) * steps / half)[None]
    table = torch.cat([angles.cos(), angles.sin()], dim=-1)
    return functional.pad(table, (0, width - 2 * half))


class TokenEmbedding(Embedding):
    """A table that is stored in the file's dtype: casting 49,408 rows to look up 77 would be waste.

    The rows come out in the stored dtype; the caller casts them.
    """

    casts_after_lookup = True


class ClassTable(Embedding):
    """A row for each class, mixed by weights: one-hot weights pick a row, exactly and in every dtype."""

    def forward(self, weights: Tensor) -> Tensor:
        """Weights of the classes [b n] → [b d]."""
        return weights @ self.weight
