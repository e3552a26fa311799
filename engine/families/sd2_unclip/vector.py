"""What unCLIP is told beside the text: embeddings of pictures, with noise, and how much of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.core.errors import NodeError
from engine.diffusion.conditioning import ConditioningEntry
from engine.nn.embeddings import sinusoidal_embedding

__all__ = ["EXTRAS_KEY", "ImageVector"]

EXTRAS_KEY = "unclip_conditioning"
"""Key of a conditioning's list of {"clip_vision_output", "strength", "noise_augmentation"}."""

_NUM_LEVELS = 1000
_COSINE_OFFSET = 0.008
_LARGEST_BETA = 0.999
_MERGE_AUGMENTATION = 0.05
_SEED_OFFSET = -10
"""The noise on embeddings is drawn from a seed so far from the run's."""


@dataclass(frozen=True, slots=True)
class ImageVector:
    """The sum of all pictures' embeddings with noise and the numbers of its level; zeros where there is no picture.

    means, deviations: of the embeddings the network was trained on, by which they are normalised before noise is added;
    nothing for those that need none. Source: Ramesh et al. 2022, arXiv:2204.06125, and the published configuration.
    """

    width: int
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()

    def vector(self, entry: ConditioningEntry, latent: Tensor) -> Tensor:
        """[1 k] float32. Raises NodeError for a picture seen by an encoder of another width."""
        given: Sequence[dict[str, Any]] = entry.extras.get(EXTRAS_KEY, ())
        seed = entry.seed + _SEED_OFFSET
        parts = []
        for picture in given:
            for embedding in picture["clip_vision_output"].image_embeds:
                self._check(embedding)
                noisy = self._with_noise(embedding.float().cpu(), picture["noise_augmentation"], seed)
                parts.append(noisy * picture["strength"])
        if not parts:
            return torch.zeros(1, self.width)
        if len(parts) == 1:
            return parts[0]
        return self._with_noise(sum(parts)[0, : self.width // 2], _MERGE_AUGMENTATION, seed)

    def _check(self, embedding: Tensor) -> None:
        if embedding.shape != (self.width // 2,):
            raise NodeError(
                f"This model takes picture embeddings of width {self.width // 2}, got {list(embedding.shape)}.",
                code="embedding_mismatch",
                hint="Encode the picture with the CLIP vision of the same checkpoint.",
            )

    def _with_noise(self, embedding: Tensor, augmentation: float, seed: int) -> Tensor:
        """[k] → [1 2k]: the embedding at a level of noise, and the numbers of the level."""
        level = round((_NUM_LEVELS - 1) * augmentation)
        share = _signal_share(level)
        noise = torch.randn(embedding.shape, generator=torch.Generator().manual_seed(seed))
        mean, deviation = (
            torch.tensor(values) if values else torch.tensor(otherwise)
            for values, otherwise in ((self.means, 0.0), (self.deviations, 1.0))
        )
        normal = (embedding - mean) / deviation
        noisy = (share**0.5 * normal + (1.0 - share) ** 0.5 * noise) * deviation + mean
        numbers = sinusoidal_embedding(torch.tensor([float(level)]), self.width // 2)
        return torch.cat([noisy[None], numbers], dim=1)


def _signal_share(level: int) -> float:
    """Share of the signal's variance after `level` + 1 steps of the cosine schedule.

    Source: Nichol & Dhariwal 2021, arXiv:2102.09672, equation 17.
    """

    def share_at(fraction: float) -> float:
        return math.cos((fraction + _COSINE_OFFSET) / (1 + _COSINE_OFFSET) * math.pi / 2) ** 2

    share = 1.0
    for step in range(level + 1):
        beta = 1.0 - share_at((step + 1) / _NUM_LEVELS) / share_at(step / _NUM_LEVELS)
        share *= 1.0 - min(beta, _LARGEST_BETA)
    return share
