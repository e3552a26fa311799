"""Which noise levels a network knows and what number it is told for each (c_noise).

Discrete tables come from the betas of training and are interpolated log-linearly between entries.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = [
    "DiscreteSigmaTable",
    "EdmSigmaTable",
    "FlowSigmaTable",
    "SigmaTable",
    "VelocitySigmaTable",
    "scaled_linear_betas",
    "zero_terminal",
]

_LAST_SHARE = 4.8973451890853435e-08
"""Share of the signal in the last level of a zero-terminal table; published networks are sampled from it."""


class SigmaTable(Protocol):
    """The noise levels of one network."""

    @property
    def identity(self) -> str:
        """Equal for equal tables."""
        ...

    @property
    def sigmas(self) -> Tensor:
        """Representative levels, rising, float32 [n] on the CPU."""
        ...

    @property
    def sigma_min(self) -> float:
        """Smallest level."""
        ...

    @property
    def sigma_max(self) -> float:
        """Largest level."""
        ...

    def c_noise(self, sigma: Tensor) -> Tensor:
        """What the network is told for these levels, float32, shape and device of sigma."""
        ...

    def timestep(self, sigma: float) -> float:
        """Place of a level on the training axis."""
        ...

    def sigma_at(self, timestep: float) -> float:
        """Level at a place of the training axis; the inverse of `timestep` up to rounding."""
        ...

    def sigma_at_fraction(self, fraction: float) -> float:
        """Level after this fraction of the trajectory: 0 → above every level, 1 → 0."""
        ...


def scaled_linear_betas(num_steps: int = 1000, start: float = 0.00085, end: float = 0.012) -> Tensor:
    """Betas of Stable Diffusion's training, float64 [num_steps]: linear in the square root."""
    return torch.linspace(start**0.5, end**0.5, num_steps, dtype=torch.float64) ** 2


@dataclass(frozen=True, slots=True, eq=False)
class DiscreteSigmaTable:
    """Levels of a network trained on numbered steps. Build with `from_betas` or `from_sigmas`."""

    sigmas: Tensor
    log_sigmas: Tensor

    @classmethod
    def from_betas(cls, betas: Tensor) -> DiscreteSigmaTable:
        """Levels sqrt((1 - a)/a) of the variance-preserving chain with these betas, a = cumprod(1 - beta)."""
        alphas_cumprod = torch.cumprod(1.0 - betas.double(), dim=0)
        return cls.from_sigmas(((1.0 - alphas_cumprod) / alphas_cumprod).sqrt())

    @classmethod
    def from_sigmas(cls, sigmas: Tensor) -> DiscreteSigmaTable:
        """A table of given rising levels."""
        return cls(sigmas.float().cpu(), sigmas.double().log().float().cpu())

    @property
    def identity(self) -> str:
        """Equal for equal tables."""
        return f"discrete:{hashlib.sha256(self.sigmas.numpy().tobytes()).hexdigest()[:16]}"

    @property
    def sigma_min(self) -> float:
        """Smallest level."""
        return float(self.sigmas[0])

    @property
    def sigma_max(self) -> float:
        """Largest level."""
        return float(self.sigmas[-1])

    def c_noise(self, sigma: Tensor) -> Tensor:
        """Number of the training step nearest in log sigma."""
        distances = sigma.log().reshape(1, -1) - self.log_sigmas.to(sigma.device)[:, None]
        return distances.abs().argmin(dim=0).view(sigma.shape).float()

    def timestep(self, sigma: float) -> float:
        """Place of a level on the training axis."""
        return float(self.c_noise(torch.tensor([sigma]))[0])

    def sigma_at(self, timestep: float) -> float:
        """Level at a place of the training axis."""
        place = min(max(timestep, 0.0), len(self.sigmas) - 1.0)
        low, high = math.floor(place), math.ceil(place)
        # In float32 like the table: near a tie, c_noise picks the same training step only for the same rounding.
        weight = torch.tensor(place, dtype=torch.float32) - low
        return float(((1.0 - weight) * self.log_sigmas[low] + weight * self.log_sigmas[high]).exp())

    def sigma_at_fraction(self, fraction: float) -> float:
        """Level after this fraction of the trajectory."""
        if fraction <= 0.0:
            return math.inf
        if fraction >= 1.0:
            return 0.0
        return self.sigma_at((1.0 - fraction) * (len(self.sigmas) - 1.0))


def zero_terminal(table: DiscreteSigmaTable) -> DiscreteSigmaTable:
    """The table of a network trained until nothing but noise is left.

    The roots of the signal's share are shifted to end at 0 and stretched to begin where they did. The last level would
    be infinite; instead it is the one published networks are sampled from. Source: Lin et al. 2023,
    arXiv:2305.08891, algorithm 1.
    """
    roots = (table.sigmas.double() ** 2 + 1.0).rsqrt()
    roots = (roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])
    shares = roots**2
    shares[-1] = _LAST_SHARE
    return DiscreteSigmaTable.from_sigmas(((1.0 - shares) / shares).sqrt())


def _log_spaced(sigma_min: float, sigma_max: float, num_levels: int) -> Tensor:
    return torch.linspace(math.log(sigma_min), math.log(sigma_max), num_levels).exp()


def _log_fraction(sigma_min: float, sigma_max: float, fraction: float) -> float:
    """Level after a fraction of a trajectory that is even in log sigma; beyond every level at 0, 0 at 1."""
    if fraction <= 0.0:
        return math.inf
    if fraction >= 1.0:
        return 0.0
    low, high = math.log(sigma_min), math.log(sigma_max)
    return math.exp(low + (high - low) * (1.0 - fraction))


@dataclass(frozen=True, slots=True)
class EdmSigmaTable:
    """Continuous levels of a network that is told log(sigma)/4. Source: Karras et al. 2022, table 1."""

    sigma_min: float = 0.002
    sigma_max: float = 120.0
    num_levels: int = 1000

    @property
    def identity(self) -> str:
        """Equal for equal tables."""
        return repr(self)

    @property
    def sigmas(self) -> Tensor:
        """Representative levels, rising, float32 on the CPU."""
        return _log_spaced(self.sigma_min, self.sigma_max, self.num_levels)

    def c_noise(self, sigma: Tensor) -> Tensor:
        """What the network is told for these levels."""
        return sigma.log() * 0.25

    def timestep(self, sigma: float) -> float:
        """Place of a level on the training axis."""
        return 0.25 * math.log(sigma)

    def sigma_at(self, timestep: float) -> float:
        """Level at a place of the training axis."""
        return math.exp(timestep / 0.25)

    def sigma_at_fraction(self, fraction: float) -> float:
        """Level after this fraction of the trajectory."""
        return _log_fraction(self.sigma_min, self.sigma_max, fraction)


@dataclass(frozen=True, slots=True)
class VelocitySigmaTable:
    """Continuous levels of a network that is told the angle atan(sigma), as a fraction of a right angle.

    Source: Salimans & Ho 2022, arXiv:2202.00512, appendix D.
    """

    sigma_min: float = 0.03
    sigma_max: float = 500.0
    num_levels: int = 1000

    @property
    def identity(self) -> str:
        """Equal for equal tables."""
        return repr(self)

    @property
    def sigmas(self) -> Tensor:
        """Representative levels, rising, float32 on the CPU."""
        return _log_spaced(self.sigma_min, self.sigma_max, self.num_levels)

    def c_noise(self, sigma: Tensor) -> Tensor:
        """What the network is told for these levels."""
        return sigma.atan() * (2.0 / math.pi)

    def timestep(self, sigma: float) -> float:
        """Place of a level on the training axis."""
        return math.atan(sigma) * 2.0 / math.pi

    def sigma_at(self, timestep: float) -> float:
        """Level at a place of the training axis."""
        return math.tan(timestep * math.pi / 2.0)

    def sigma_at_fraction(self, fraction: float) -> float:
        """Level after this fraction of the trajectory."""
        return _log_fraction(self.sigma_min, self.sigma_max, fraction)


@dataclass(frozen=True, slots=True)
class FlowSigmaTable:
    """Levels of a rectified flow, shifted towards noise for large pictures. The network is told sigma · multiplier.

    Source: Esser et al. 2024, arXiv:2403.03206, equation 23.
    """

    shift: float = 1.0
    multiplier: float = 1000.0
    num_levels: int = 1000

    @property
    def identity(self) -> str:
        """Equal for equal tables."""
        return repr(self)

    def _shifted(self, time: float) -> float:
        return self.shift * time / (1.0 + (self.shift - 1.0) * time)

    @property
    def sigmas(self) -> Tensor:
        """Representative levels, rising, float32 on the CPU."""
        time = torch.arange(1, self.num_levels + 1, dtype=torch.float64) / self.num_levels
        return (self.shift * time / (1.0 + (self.shift - 1.0) * time)).float()

    @property
    def sigma_min(self) -> float:
        """Smallest level."""
        return self._shifted(1.0 / self.num_levels)

    @property
    def sigma_max(self) -> float:
        """Largest level."""
        return 1.0

    def c_noise(self, sigma: Tensor) -> Tensor:
        """What the network is told for these levels."""
        return sigma * self.multiplier

    def timestep(self, sigma: float) -> float:
        """Place of a level on the training axis."""
        return sigma * self.multiplier

    def sigma_at(self, timestep: float) -> float:
        """Level at a place of the training axis."""
        return self._shifted(timestep / self.multiplier)

    def sigma_at_fraction(self, fraction: float) -> float:
        """Level after this fraction of the trajectory."""
        if fraction <= 0.0:
            return 1.0
        if fraction >= 1.0:
            return 0.0
        return self._shifted(1.0 - fraction)
