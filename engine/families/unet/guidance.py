"""Networks that were distilled with guidance inside: how they are told its strength, and what they predict.

Source: Meng et al. 2023, arXiv:2210.03142; Luo et al. 2023, arXiv:2310.04378 (latent consistency models).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from engine.diffusion.conditioning import ConditioningEntry
from engine.diffusion.parameterization import Parameterization
from engine.diffusion.prediction import EpsPrediction
from engine.diffusion.reparameterize import discrete_parameterization

__all__ = ["DEFAULT_GUIDANCE", "as_distilled", "with_guidance"]

DEFAULT_GUIDANCE = 8.0
"""Of conditioning that states none: the scale latent consistency models are published with."""

_UNITS = 1000.0
_MAX_PERIOD = 10_000.0


def with_guidance(vector: Tensor | None, entry: ConditioningEntry, width: int) -> Tensor:
    """The vector [1|b k], or none, and behind it sines and cosines of the conditioning's `guidance`: [1|b k+width].

    Networks count from 0, no guidance, where scales count from 1.
    """
    scale = float(entry.extras.get("guidance", DEFAULT_GUIDANCE))
    half = width // 2
    places = torch.arange(half, dtype=torch.float32) / (half - 1)
    angles = (scale - 1.0) * _UNITS * torch.exp(-math.log(_MAX_PERIOD) * places)
    row = torch.cat([angles.sin(), angles.cos()])[None]
    if vector is None:
        return row.to(entry.context.device)
    return torch.cat([vector, row.to(vector).expand(vector.shape[0], -1)], dim=1)


def as_distilled(parameterization: Parameterization) -> Parameterization:
    """What a consistency model distilled from a network of noise predicts; others stay as they are.

    Guidance inside is what the files of latent consistency models are told by.
    """
    if parameterization.prediction != EpsPrediction():
        return parameterization
    return discrete_parameterization("lcm", is_zero_terminal=False)
