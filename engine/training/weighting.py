"""Weight of the squared error of `denoised` at each noise level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from engine.diffusion.noise_path import FLOW_PATH
from engine.diffusion.prediction import Prediction

__all__ = [
    "EdmWeighting",
    "EpsWeighting",
    "MinSnrWeighting",
    "UnitWeighting",
    "VWeighting",
    "Weighting",
]


class Weighting(Protocol):
    """One weighting."""

    def weight(self, sigma: Tensor, prediction: Prediction) -> Tensor:
        """Weights for levels sigma [b], float32 [b]."""
        ...


@dataclass(frozen=True, slots=True)
class UnitWeighting:
    """Every level counts the same in terms of the clean latent."""

    kind: Literal["unit"]

    def weight(self, sigma: Tensor, prediction: Prediction) -> Tensor:
        """Ones."""
        return torch.ones_like(sigma)


@dataclass(frozen=True, slots=True)
class EpsWeighting:
    """sigma^-2: the plain squared error of predicted noise, and of a flow's predicted velocity.

    Source: Ho et al. 2020, arXiv:2006.11239, equation 14; Esser et al. 2024, arXiv:2403.03206, section 2.
    """

    kind: Literal["eps"]

    def weight(self, sigma: Tensor, prediction: Prediction) -> Tensor:
        """1/sigma²."""
        return sigma**-2.0


@dataclass(frozen=True, slots=True)
class EdmWeighting:
    """(sigma² + sigma_data²)/(sigma · sigma_data)²: the network's own target has variance one at every level.

    Source: Karras et al. 2022, arXiv:2206.00364, table 1.
    """

    kind: Literal["edm"]
    sigma_data: float = 0.5

    def weight(self, sigma: Tensor, prediction: Prediction) -> Tensor:
        """lambda(sigma)."""
        return (sigma**2 + self.sigma_data**2) / (sigma * self.sigma_data) ** 2


@dataclass(frozen=True, slots=True)
class VWeighting:
    """The plain squared error of predicted v: EDM's with sigma_data 1.

    Source: Salimans & Ho 2022, arXiv:2202.00512, section 4 ("SNR+1").
    """

    kind: Literal["v"]

    def weight(self, sigma: Tensor, prediction: Prediction) -> Tensor:
        """1 + 1/sigma²."""
        return 1.0 + sigma**-2.0


@dataclass(frozen=True, slots=True)
class MinSnrWeighting:
    """min(SNR, gamma): levels of little noise, easy and alike, do not drown the rest.

    SNR is that of the path: 1/sigma², for a flow ((1 - sigma)/sigma)². Source: Hang et al. 2023, arXiv:2303.09556,
    section 3.4, in terms of the clean latent; for eps networks it divides their plain loss by max(SNR/gamma, 1).
    """

    kind: Literal["min_snr"]
    gamma: float = 5.0

    def weight(self, sigma: Tensor, prediction: Prediction) -> Tensor:
        """min(SNR(sigma), gamma)."""
        alpha = 1.0 - sigma if prediction.path is FLOW_PATH else torch.ones_like(sigma)
        return ((alpha / sigma) ** 2).clamp(max=self.gamma)
