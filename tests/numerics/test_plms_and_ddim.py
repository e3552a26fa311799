"""PLMS and DDIM with noise, as the first Stable Diffusion scripts have them, in the variance-preserving scale."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from engine.diffusion.noise import GaussianNoise
from engine.diffusion.requests import drive
from engine.diffusion.samplers.plms import plms
from nodes.samplers import sampler_ddim, sampler_plms
from tests.gaussian_denoiser import EPS, exact_guide, exact_path

SIGMAS = [14.6, 6.0, 2.0, 0.5, 0.1, 0.0]
SEED = 7


def eps_of(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """A prediction of the noise that is not linear in x."""
    return torch.tanh(x / (1 + sigma**2) ** 0.5)


def guide(x: torch.Tensor, sigma: float):
    yield from ()
    return x - sigma * eps_of(x, sigma)


def start() -> torch.Tensor:
    return torch.randn(1, 4, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * SIGMAS[0]


def alpha(sigma: float) -> float:
    return 1 / (1 + sigma**2)


def transfer(scaled: torch.Tensor, eps: torch.Tensor, sigma: float, sigma_next: float) -> torch.Tensor:
    """DDIM's step without noise for a given eps."""
    a, a_next = alpha(sigma), alpha(sigma_next)
    clean = (scaled - math.sqrt(1 - a) * eps) / math.sqrt(a)
    return math.sqrt(a_next) * clean + math.sqrt(1 - a_next) * eps


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim_with_eta_is_equation_12_of_its_paper(eta: float) -> None:
    x = start()
    noise = GaussianNoise(x, SEED)
    scaled = x * math.sqrt(alpha(SIGMAS[0]))
    for sigma, sigma_next in pairwise(SIGMAS):
        a, a_next = alpha(sigma), alpha(sigma_next)
        eps = eps_of(scaled / math.sqrt(a), sigma)
        spread = eta * math.sqrt((1 - a_next) / (1 - a) * (1 - a / a_next))
        clean = (scaled - math.sqrt(1 - a) * eps) / math.sqrt(a)
        scaled = math.sqrt(a_next) * clean + math.sqrt(1 - a_next - spread**2) * eps
        if spread > 0:
            scaled = scaled + spread * noise(sigma, sigma_next)
    result = drive(sampler_ddim(eta).start(x, SIGMAS, guide, EPS, SEED))
    assert torch.allclose(result, scaled, atol=1e-10)


def test_plms_is_the_multistep_of_its_script() -> None:
    """First a step with the mean slope of both ends, then Adams-Bashforth of orders 2, 3 and 4 on even steps."""
    x = start()
    scaled, old = x * math.sqrt(alpha(SIGMAS[0])), []
    for sigma, sigma_next in pairwise(SIGMAS):
        eps = eps_of(scaled / math.sqrt(alpha(sigma)), sigma)
        if not old:
            ahead = transfer(scaled, eps, sigma, sigma_next)
            used = (eps + eps_of(ahead / math.sqrt(alpha(sigma_next)), sigma_next)) / 2
        elif len(old) == 1:
            used = (3 * eps - old[-1]) / 2
        elif len(old) == 2:
            used = (23 * eps - 16 * old[-1] + 5 * old[-2]) / 12
        else:
            used = (55 * eps - 59 * old[-1] + 37 * old[-2] - 9 * old[-3]) / 24
        scaled = transfer(scaled, used, sigma, sigma_next)
        old.append(eps)
    result = drive(sampler_plms().start(x, SIGMAS, guide, EPS, SEED))
    assert torch.allclose(result, scaled, atol=1e-10)


def test_plms_converges_with_its_claimed_order_on_geometric_levels() -> None:
    def error(steps: int) -> float:
        levels = [5.0 * 0.01 ** (step / steps) for step in range(steps + 1)]
        x = torch.ones(1, dtype=torch.float64)
        return abs(float(drive(plms(x, levels, exact_guide(0.7))) - exact_path(x, 0.7, levels[0], levels[-1])))

    assert math.log2(error(160) / error(320)) == pytest.approx(2, abs=0.1)


def test_plms_has_fourth_order_on_even_levels_once_it_has_four_slopes() -> None:
    """On even steps the weights are those of Adams-Bashforth: exact for slopes cubic in sigma."""
    levels = [4.0 - 0.3 * step for step in range(11)]

    def cubic(x: torch.Tensor, sigma: float):
        yield from ()
        return x - sigma * torch.full_like(x, sigma**3 - sigma)

    def reached(count: int) -> float:
        return float(drive(plms(torch.zeros(1, dtype=torch.float64), levels[:count], cubic)))

    exact = (levels[-1] ** 4 - levels[3] ** 4) / 4 - (levels[-1] ** 2 - levels[3] ** 2) / 2
    assert reached(11) - reached(4) == pytest.approx(exact, rel=1e-9)
