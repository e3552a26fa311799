"""A codebook: each latent cell becomes its nearest entry. Source: van den Oord et al. 2017, arXiv:1711.00937."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.nn.layers import Embedding

__all__ = ["Quantization", "VectorQuantizer"]


@dataclass(frozen=True, slots=True)
class Quantization:
    """What quantizing a latent gave.

    quantized: [b c h w]; its gradient goes to the given latent as if nothing had happened (straight through).
    indices: entry numbers [b h w]. loss: codebook and commitment terms, a scalar.
    """

    quantized: Tensor
    indices: Tensor
    loss: Tensor


class VectorQuantizer(nn.Module):
    """Keys: embedding. `commitment` weighs how strongly the encoder is drawn to the entries (beta of the paper)."""

    def __init__(self, num_entries: int, width: int, commitment: float = 0.25) -> None:
        super().__init__()
        self.embedding = Embedding(num_entries, width)
        self.commitment = commitment

    def forward(self, latent: Tensor) -> Quantization:
        """Latent [b c h w] → nearest entries by Euclidean distance."""
        cells = latent.movedim(1, -1)
        flat = cells.reshape(-1, cells.shape[-1]).float()
        table = self.embedding.weight.float()
        with torch.no_grad():
            distances = table.square().sum(1) - 2 * flat @ table.T  # up to the cell's own square, equal for all entries
            indices = distances.argmin(dim=1).view(cells.shape[:-1])
        entries = self.embedding(indices)
        loss = functional.mse_loss(entries, cells.detach()) + self.commitment * functional.mse_loss(
            entries.detach(), cells
        )
        quantized = cells + (entries - cells).detach()
        return Quantization(quantized.movedim(-1, 1).contiguous(), indices, loss)

    def entries(self, indices: Tensor) -> Tensor:
        """Entry numbers [b h w] → latent [b c h w]."""
        return self.embedding(indices).movedim(-1, 1).contiguous()
