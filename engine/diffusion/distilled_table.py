"""The noise levels of a network distilled on a few of its teacher's numbered steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from engine.diffusion.sigma_table import DiscreteSigmaTable

__all__ = ["DistilledSigmaTable"]


@dataclass(frozen=True, slots=True, eq=False)
class DistilledSigmaTable:
    """Every `stride`-th level of a table, from the last; the network is still told the teacher's numbers.

    Source: Luo et al. 2023, arXiv:2310.04378, section 4.3 (skipping steps).
    """

    levels: DiscreteSigmaTable
    stride: int

    @classmethod
    def of(cls, table: DiscreteSigmaTable, num_levels: int = 50) -> DistilledSigmaTable:
        """`num_levels` of a table whose length is a multiple of it."""
        stride = len(table.sigmas) // num_levels
        return cls(DiscreteSigmaTable.from_sigmas(table.sigmas[stride - 1 :: stride]), stride)

    @property
    def identity(self) -> str:
        """Equal for equal tables."""
        return f"distilled:{self.stride}:{self.levels.identity}"

    @property
    def sigmas(self) -> Tensor:
        """The levels, rising, float32 [n] on the CPU."""
        return self.levels.sigmas

    @property
    def sigma_min(self) -> float:
        """Smallest level."""
        return self.levels.sigma_min

    @property
    def sigma_max(self) -> float:
        """Largest level."""
        return self.levels.sigma_max

    def c_noise(self, sigma: Tensor) -> Tensor:
        """The teacher's number of the nearest level."""
        return self.levels.c_noise(sigma) * self.stride + (self.stride - 1)

    def timestep(self, sigma: float) -> float:
        """Place of a level on the teacher's training axis."""
        return self.levels.timestep(sigma) * self.stride + (self.stride - 1)

    def sigma_at(self, timestep: float) -> float:
        """Level at a place of the teacher's training axis."""
        return self.levels.sigma_at((timestep - (self.stride - 1)) / self.stride)

    def sigma_at_fraction(self, fraction: float) -> float:
        """Level after this fraction of the trajectory."""
        if fraction <= 0.0:
            return math.inf
        if fraction >= 1.0:
            return 0.0
        return self.sigma_at((1.0 - fraction) * (len(self.sigmas) * self.stride - 1.0))
