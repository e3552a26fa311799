"""The vector of the XL networks: what the text is about as a whole, then numbers about the picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.core.errors import NodeError
from engine.diffusion.conditioning import ConditioningEntry
from engine.nn.embeddings import sinusoidal_embedding

__all__ = ["NUMBER_WIDTH", "numbers_vector", "picture_size"]

NUMBER_WIDTH = 256
"""Width of the sinusoidal embedding of each number."""


def numbers_vector(entry: ConditioningEntry, pooled_width: int, numbers: Sequence[float]) -> Tensor:
    """[1|b pooled_width + 256·n] float32. Source: Podell et al. 2023, arXiv:2307.01952, section 2.2.

    Raises NodeError when the entry's pooled vector is missing or of another width.
    """
    pooled = entry.pooled
    if pooled is None or pooled.ndim != 2 or pooled.shape[1] != pooled_width:
        found = "none" if pooled is None else str(list(pooled.shape))
        raise NodeError(
            f"This model takes a pooled text vector of width {pooled_width}, got {found}.",
            code="pooled_mismatch",
            hint="Encode the text with the CLIP of the same checkpoint.",
        )
    embedded = sinusoidal_embedding(torch.tensor([float(number) for number in numbers]), NUMBER_WIDTH)
    row = embedded.flatten()[None].to(pooled.device)
    return torch.cat([pooled.float(), row.expand(pooled.shape[0], -1)], dim=1)


def picture_size(entry: ConditioningEntry, latent: Tensor, downscale: int) -> tuple[float, float]:
    """(height, width) in pixels the conditioning states, else those of the picture being made."""
    height, width = (size * downscale for size in latent.shape[2:])
    return entry.extras.get("height", height), entry.extras.get("width", width)
