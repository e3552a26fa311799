"""What a network predicts, as the preconditioning factors c_skip, c_out and c_in around it.

denoised = c_skip·x + c_out·F(c_in·x, c_noise); c_noise is the sigma table's. Source: Karras et al. 2022, table 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from engine.diffusion.noise_path import FLOW_PATH, VARIANCE_EXPLODING, NoisePath
from engine.diffusion.sigma_table import SigmaTable

__all__ = [
    "CleanPrediction",
    "DirectPrediction",
    "EdmPrediction",
    "EpsPrediction",
    "Factors",
    "FlowPrediction",
    "LcmPrediction",
    "Prediction",
    "VPrediction",
]

_LCM_SIGMA_DATA = 0.5
_LCM_TIME_SCALE = 10.0


@dataclass(frozen=True, slots=True)
class Factors:
    """Preconditioning factors, each shaped like sigma."""

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor


class Prediction(Protocol):
    """One kind of prediction."""

    @property
    def path(self) -> NoisePath:
        """How clean latent and noise mix."""
        ...

    def factors(self, sigma: Tensor) -> Factors:
        """Factors for these noise levels."""
        ...

    def add_noise(self, latent: Tensor, noise: Tensor, sigma: float, is_maximal: bool = False) -> Tensor:
        """The latent at noise level sigma; `is_maximal` when sigma is the largest the network knows."""
        ...

    def finish(self, latent: Tensor, sigma: float) -> Tensor:
        """Undo the clean part's weight of a latent left at noise level sigma, so that it can be continued from."""
        ...


@dataclass(frozen=True, slots=True)
class _Additive:
    """What eps, v and edm share: noise is added on top of a latent of standard deviation sigma_data."""

    sigma_data: float = 1.0

    @property
    def path(self) -> NoisePath:
        """How clean latent and noise mix."""
        return VARIANCE_EXPLODING

    def _c_in(self, sigma: Tensor) -> Tensor:
        return (sigma**2 + self.sigma_data**2).rsqrt()

    def add_noise(self, latent: Tensor, noise: Tensor, sigma: float, is_maximal: bool = False) -> Tensor:
        """The latent at level sigma; at the largest, noise alone has to meet the variance 1 + sigma² of training."""
        amount = (1.0 + sigma**2) ** 0.5 if is_maximal else sigma
        return latent + noise * amount

    def finish(self, latent: Tensor, sigma: float) -> Tensor:
        """The latent itself, or its clean part at full weight."""
        return latent


@dataclass(frozen=True, slots=True)
class EpsPrediction(_Additive):
    """The network predicts the noise."""

    def factors(self, sigma: Tensor) -> Factors:
        """Factors for these noise levels."""
        return Factors(torch.ones_like(sigma), -sigma, self._c_in(sigma))


@dataclass(frozen=True, slots=True)
class VPrediction(_Additive):
    """The network predicts v = alpha·noise - sigma·clean of the variance-preserving form.

    Source: Salimans & Ho 2022, arXiv:2202.00512.
    """

    def factors(self, sigma: Tensor) -> Factors:
        """Factors for these noise levels."""
        c_in = self._c_in(sigma)
        return Factors((self.sigma_data * c_in) ** 2, -sigma * self.sigma_data * c_in, c_in)


@dataclass(frozen=True, slots=True)
class EdmPrediction(_Additive):
    """The network predicts the EDM target; like v with the opposite sign."""

    sigma_data: float = 0.5

    def factors(self, sigma: Tensor) -> Factors:
        """Factors for these noise levels."""
        c_in = self._c_in(sigma)
        return Factors((self.sigma_data * c_in) ** 2, sigma * self.sigma_data * c_in, c_in)


@dataclass(frozen=True, slots=True)
class CleanPrediction(_Additive):
    """The network predicts the clean latent itself."""

    def factors(self, sigma: Tensor) -> Factors:
        """Factors for these noise levels."""
        return Factors(torch.zeros_like(sigma), torch.ones_like(sigma), self._c_in(sigma))


@dataclass(frozen=True, slots=True)
class DirectPrediction(_Additive):
    """The network predicts the clean latent from the noisy one as it is, without scaling it."""

    def factors(self, sigma: Tensor) -> Factors:
        """Factors for these noise levels."""
        one = torch.ones_like(sigma)
        return Factors(torch.zeros_like(sigma), one, one)


@dataclass(frozen=True, slots=True)
class OutputAlone:
    """What the network puts out, fed as the base kind feeds it: for edits that make it tell something else."""

    base: Prediction

    @property
    def path(self) -> NoisePath:
        """That of the base."""
        return self.base.path

    def factors(self, sigma: Tensor) -> Factors:
        """The input of the base, and nothing around the output."""
        return Factors(torch.zeros_like(sigma), torch.ones_like(sigma), self.base.factors(sigma).c_in)

    def add_noise(self, latent: Tensor, noise: Tensor, sigma: float, is_maximal: bool = False) -> Tensor:
        """That of the base."""
        return self.base.add_noise(latent, noise, sigma, is_maximal)

    def finish(self, latent: Tensor, sigma: float) -> Tensor:
        """That of the base."""
        return self.base.finish(latent, sigma)


@dataclass(frozen=True, slots=True)
class LcmPrediction(_Additive):
    """The network predicts the noise; towards no noise its answer is mixed with the latent itself.

    table: tells the training step of a level. Source: Song et al. 2023, arXiv:2303.01469, equation 25, with the
    constants of latent consistency models, Luo et al. 2023, arXiv:2310.04378.
    """

    table: SigmaTable = field(repr=False, kw_only=True)

    def factors(self, sigma: Tensor) -> Factors:
        """Factors for these noise levels."""
        time = self.table.c_noise(sigma) * _LCM_TIME_SCALE
        spread = time**2 + _LCM_SIGMA_DATA**2
        kept, taken = _LCM_SIGMA_DATA**2 / spread, time * spread.rsqrt()
        return Factors(kept + taken, -sigma * taken, self._c_in(sigma))


@dataclass(frozen=True, slots=True)
class FlowPrediction:
    """The network predicts the velocity noise - clean of a rectified flow; sigma in [0, 1].

    Source: Liu et al. 2022, arXiv:2209.03003; Esser et al. 2024, arXiv:2403.03206.
    """

    @property
    def path(self) -> NoisePath:
        """How clean latent and noise mix."""
        return FLOW_PATH

    def factors(self, sigma: Tensor) -> Factors:
        """Factors for these noise levels."""
        one = torch.ones_like(sigma)
        return Factors(one, -sigma, one)

    def add_noise(self, latent: Tensor, noise: Tensor, sigma: float, is_maximal: bool = False) -> Tensor:
        """The latent at noise level sigma."""
        return latent * (1.0 - sigma) + noise * sigma

    def finish(self, latent: Tensor, sigma: float) -> Tensor:
        """The latent itself, or its clean part at full weight."""
        return latent / (1.0 - sigma) if sigma < 1 else latent
