"""What an embedder is, and the part of it that all share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from engine.training.config.error import ConfigError
from engine.training.data.companion import Companion
from engine.training.data.latent_encoder import LatentEncoder

__all__ = ["Embedder", "read_key", "without_dropped"]


class Embedder(nn.Module):
    """Turns one key of a batch into conditioning tensors.

    input_key: what it reads. ucg_rate: part of the examples, in [0, 1), that are trained without it, for guidance.
    is_trainable: whether its weights are learned with the network's.
    companion_key: where it looks before `input_key`, for what a cache of latents kept for it.
    """

    companion_key: str | None = None

    def __init__(self, input_key: str, ucg_rate: float, is_trainable: bool) -> None:
        super().__init__()
        if not 0.0 <= ucg_rate <= 1.0:
            raise ConfigError(f"ucg_rate is a probability, got {ucg_rate}.")
        self.input_key = input_key
        self.ucg_rate = ucg_rate
        self.is_trainable = is_trainable

    def forward(self, batch: Mapping[str, Any], dropped: Tensor | None, device: torch.device) -> tuple[Tensor, ...]:
        """The embeddings, each [b k] (vector), [b n d] (context) or [b c h w] (concat), on the device.

        Args:
            batch: collated examples.
            dropped: [b] bool on the device, the examples to embed as if nothing were known of them; None for none.
            device: where the network is.
        """
        raise NotImplementedError

    def companion(self, encoder: LatentEncoder) -> Companion | None:
        """What a cache of latents keeps of each picture for this embedder; None when it reads no pictures.

        encoder: the first stage the cache is made with.
        """
        return None


def without_dropped(embedding: Tensor, dropped: Tensor | None) -> Tensor:
    """The embedding with zeros for the dropped examples."""
    if dropped is None:
        return embedding
    return embedding.masked_fill(dropped.view(-1, *(1,) * (embedding.ndim - 1)), 0.0)


def read_key(batch: Mapping[str, Any], key: str) -> Any:
    """The batch's value of a key. Raises ConfigError when the data has none."""
    if key not in batch:
        raise ConfigError(
            f"An embedder reads {key!r}, but the data gives {sorted(k for k in batch if k != 'first_draw')}.",
            hint="Set its input_key to one of these, or choose another data source.",
        )
    return batch[key]
