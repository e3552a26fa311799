"""The sampler named ddim is Euler's method in sigma form; this is why."""

from __future__ import annotations

from itertools import pairwise

import torch

from engine.diffusion.requests import drive
from engine.diffusion.samplers.registry import SAMPLERS
from tests.gaussian_denoiser import EPS


def eps_of(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """A prediction of the noise that is not linear in x."""
    return torch.tanh(x / (1 + sigma**2) ** 0.5)


def guide(x: torch.Tensor, sigma: float):
    yield from ()
    return x - sigma * eps_of(x, sigma)


def ddim(x: torch.Tensor, sigmas: list[float]) -> torch.Tensor:
    """Equation 12 of arXiv:2010.02502 with its sigma 0, in the variance-preserving scale; a = 1/(1 + sigma²)."""
    scaled = x / (1 + sigmas[0] ** 2) ** 0.5
    for sigma, sigma_next in pairwise(sigmas):
        a, a_next = 1 / (1 + sigma**2), 1 / (1 + sigma_next**2)
        eps = eps_of(scaled / a**0.5, sigma)
        clean = (scaled - (1 - a) ** 0.5 * eps) / a**0.5
        scaled = a_next**0.5 * clean + (1 - a_next) ** 0.5 * eps
    return scaled


def test_ddim_in_its_own_scale_is_euler_in_ours() -> None:
    sigmas = [14.6, 6.0, 2.0, 0.5, 0.1, 0.0]
    x = torch.randn(1, 4, 8, 8, dtype=torch.float64) * sigmas[0]
    ours = drive(SAMPLERS["ddim"].start(x, sigmas, guide, EPS, seed=0))
    assert torch.allclose(ours, ddim(x, sigmas), atol=1e-10)
