"""How clean latent and noise mix along a trajectory: x(sigma) = alpha(sigma)·clean + sigma·noise.

Both forms share dx/dsigma = (x - denoised)/sigma, so ODE samplers are written once; stochastic ones ask the path how to
step down and how much noise to put back. This is what makes one sampler file serve both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

__all__ = ["FLOW_PATH", "VARIANCE_EXPLODING", "AncestralStep", "FlowPath", "NoisePath", "VarianceExplodingPath"]


@dataclass(frozen=True, slots=True)
class AncestralStep:
    """A deterministic step to sigma_down, then x·rescale + noise·sigma_up arrives at the wanted level."""

    sigma_down: float
    sigma_up: float
    rescale: float = 1.0


class NoisePath(Protocol):
    """One form of mixing."""

    def alpha(self, sigma: float) -> float:
        """Weight of the clean latent."""
        ...

    def half_log_snr(self, sigma: float) -> float:
        """lambda = log(alpha / sigma); infinite at sigma 0."""
        ...

    def sigma_at(self, half_log_snr: float) -> float:
        """Inverse of `half_log_snr`."""
        ...

    def ancestral_step(self, sigma: float, sigma_next: float, eta: float) -> AncestralStep:
        """Split sigma -> sigma_next into a deterministic part and fresh noise; eta 0 is all deterministic."""
        ...


@dataclass(frozen=True, slots=True)
class VarianceExplodingPath:
    """alpha = 1: noise is added on top (eps, v and edm networks after their input scaling)."""

    def alpha(self, sigma: float) -> float:
        """Weight of the clean latent."""
        return 1.0

    def half_log_snr(self, sigma: float) -> float:
        """log(alpha / sigma), infinite at sigma 0."""
        return -math.log(sigma) if sigma > 0 else math.inf

    def sigma_at(self, half_log_snr: float) -> float:
        """Inverse of `half_log_snr`."""
        return math.exp(-half_log_snr)

    def ancestral_step(self, sigma: float, sigma_next: float, eta: float) -> AncestralStep:
        """Source: Song et al. 2021, arXiv:2010.02502, equation 16 in sigma form."""
        if not eta or sigma_next == 0:
            return AncestralStep(sigma_next, 0.0)
        fresh = eta * math.sqrt(sigma_next**2 * max(sigma**2 - sigma_next**2, 0.0) / sigma**2)
        sigma_up = min(sigma_next, fresh)
        return AncestralStep(math.sqrt(sigma_next**2 - sigma_up**2), sigma_up)


@dataclass(frozen=True, slots=True)
class FlowPath:
    """alpha = 1 - sigma: rectified flow, sigma in [0, 1]."""

    def alpha(self, sigma: float) -> float:
        """Weight of the clean latent."""
        return 1.0 - sigma

    def half_log_snr(self, sigma: float) -> float:
        """log(alpha / sigma), infinite at sigma 0."""
        if sigma <= 0:
            return math.inf
        return math.log((1.0 - sigma) / sigma) if sigma < 1 else -math.inf

    def sigma_at(self, half_log_snr: float) -> float:
        """Inverse of `half_log_snr`."""
        return 1.0 / (1.0 + math.exp(half_log_snr))

    def ancestral_step(self, sigma: float, sigma_next: float, eta: float) -> AncestralStep:
        """Step below sigma_next so that rescaling the clean part and adding noise gives exactly its marginal."""
        if not eta or sigma_next == 0:
            return AncestralStep(sigma_next, 0.0)
        sigma_down = sigma_next * (1.0 + (sigma_next / sigma - 1.0) * eta)
        rescale = (1.0 - sigma_next) / (1.0 - sigma_down)
        return AncestralStep(sigma_down, math.sqrt(max(sigma_next**2 - (sigma_down * rescale) ** 2, 0.0)), rescale)


VARIANCE_EXPLODING = VarianceExplodingPath()
FLOW_PATH = FlowPath()
