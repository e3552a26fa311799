"""How noise levels are drawn in training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from engine.diffusion.sigma_table import FlowSigmaTable, SigmaTable
from engine.training.randomness import StepChance

__all__ = [
    "DiscreteSampling",
    "LogNormalSampling",
    "LogitNormalSampling",
    "RangeSampling",
    "SigmaSampling",
    "UniformSampling",
]

_PURPOSE = "sigma"
_MARGIN = 1e-6
"""Shares beyond which a normal value would not be finite."""


class SigmaSampling(Protocol):
    """One way to draw noise levels."""

    def draw(self, chance: StepChance, table: SigmaTable) -> Tensor:
        """A level for each example of a batch, float32 [b] on the chance's device."""
        ...


@dataclass(frozen=True, slots=True)
class LogNormalSampling:
    """log(sigma) is normal. Source: Karras et al. 2022, arXiv:2206.00364, table 1.

    is_stratified: every step has its share of every level, which steadies the gradient of small batches.
    Source: Kingma et al. 2021, arXiv:2107.00630, appendix I.1.
    """

    kind: Literal["log_normal"]
    mean: float = -1.2
    std: float = 1.2
    is_stratified: bool = False

    def draw(self, chance: StepChance, table: SigmaTable) -> Tensor:
        """Levels within the table's bounds."""
        if self.is_stratified:
            normal = torch.special.ndtri(chance.stratified(_PURPOSE).clamp(_MARGIN, 1.0 - _MARGIN))
        else:
            normal = chance.normal(_PURPOSE, ())
        return (normal * self.std + self.mean).exp().clamp(table.sigma_min, table.sigma_max)


@dataclass(frozen=True, slots=True)
class DiscreteSampling:
    """Every level of the table is equally likely. Source: Ho et al. 2020, arXiv:2006.11239, algorithm 1."""

    kind: Literal["discrete"]

    def draw(self, chance: StepChance, table: SigmaTable) -> Tensor:
        """Levels of the table."""
        sigmas = table.sigmas.to(chance.device, non_blocking=True)
        places = (chance.uniform(_PURPOSE) * len(sigmas)).long().clamp_(max=len(sigmas) - 1)
        return sigmas[places]


@dataclass(frozen=True, slots=True)
class RangeSampling:
    """log(sigma) is uniform between two levels, and every step has its share of each: for specialists.

    A refiner learns the low levels alone. Source of the idea: Podell et al. 2023, arXiv:2307.01952, section 2.5.
    """

    kind: Literal["range"]
    sigma_min: float
    sigma_max: float

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max:
            raise ValueError("sigma_min is above 0 and below sigma_max")

    def draw(self, chance: StepChance, table: SigmaTable) -> Tensor:
        """Levels within the range and the table's bounds."""
        low, high = math.log(self.sigma_min), math.log(self.sigma_max)
        levels = (low + (high - low) * chance.stratified(_PURPOSE)).exp()
        return levels.clamp(table.sigma_min, table.sigma_max)


@dataclass(frozen=True, slots=True)
class LogitNormalSampling:
    """The time of a flow is the logistic function of a normal value, then shifted as the table says.

    Source: Esser et al. 2024, arXiv:2403.03206, section 3.1 and equation 23.
    """

    kind: Literal["logit_normal"]
    mean: float = 0.0
    std: float = 1.0

    def draw(self, chance: StepChance, table: SigmaTable) -> Tensor:
        """Levels in (0, 1)."""
        return _shifted(torch.sigmoid(chance.normal(_PURPOSE, ()) * self.std + self.mean), table)


@dataclass(frozen=True, slots=True)
class UniformSampling:
    """The time of a flow is uniform, then shifted as the table says. Source: Liu et al. 2022, arXiv:2209.03003."""

    kind: Literal["uniform"]

    def draw(self, chance: StepChance, table: SigmaTable) -> Tensor:
        """Levels in (0, 1)."""
        return _shifted(chance.uniform(_PURPOSE).clamp_(1e-5, 1 - 1e-5), table)


def _shifted(time: Tensor, table: SigmaTable) -> Tensor:
    shift = table.shift if isinstance(table, FlowSigmaTable) else 1.0
    return time if math.isclose(shift, 1.0) else shift * time / (1.0 + (shift - 1.0) * time)
