"""Latents to start from."""

from __future__ import annotations

import torch

from engine.api import BatchSize, Dimension, Latent, node

__all__ = ["empty_latent_image"]


@node("EmptyLatentImage", title="Empty Latent Image", category="latent")
def empty_latent_image(width: Dimension = 512, height: Dimension = 512, batch_size: BatchSize = 1) -> Latent:
    """Zeros in the SD latent layout, [b 4 h/8 w/8]. Samplers of families with other channel counts widen them."""
    return {"samples": torch.zeros(batch_size, 4, height // 8, width // 8)}
