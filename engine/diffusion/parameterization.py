"""A network's parameterization: what it predicts and which noise levels it knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.diffusion.condition_inputs import ConditionInputs
from engine.diffusion.prediction import Prediction
from engine.diffusion.sigma_table import SigmaTable

__all__ = ["Network", "Parameterization"]

Network = Callable[[Tensor, Tensor, ConditionInputs], Tensor]
"""network(scaled latent [b c h w], c_noise [b], inputs) -> raw output [b c h w]."""


@dataclass(frozen=True, slots=True)
class Parameterization:
    """The preconditioning around a raw network. Source: Karras et al. 2022, equation 7."""

    prediction: Prediction
    sigma_table: SigmaTable

    @property
    def identity(self) -> str:
        """Equal for equal parameterizations."""
        return f"{self.prediction!r}/{self.sigma_table.identity}"

    def denoise(
        self, network: Network, x: Tensor, sigma: Tensor, inputs: ConditionInputs, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Estimate the clean latent, c_skip·x + c_out·F(c_in·x, c_noise): float32 [b c h w] from x and sigma [b].

        The network is fed in `dtype`; everything around it stays float32: c_out amplifies rounding at large sigma.
        """
        factors = self.prediction.factors(sigma.view(-1, *(1,) * (x.ndim - 1)))
        output = network((x * factors.c_in).to(dtype), self.sigma_table.c_noise(sigma), inputs).float()
        return x * factors.c_skip + output * factors.c_out
