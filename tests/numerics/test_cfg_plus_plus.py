"""CFG++ samplers: the plain ones where nothing guides, and the published update where something does."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from engine.diffusion.requests import Guided, drive
from engine.diffusion.samplers.registry import SAMPLERS
from tests.gaussian_denoiser import EPS, exact_guide, guide_for

LEVELS = [14.6, 6.0, 2.0, 0.5, 0.1, 0.0]
NAMES = sorted(name for name, sampler in SAMPLERS.items() if sampler.needs_unguided)

TAKES_LATER_NOISE = "dpmpp_2s_ancestral_cfg_pp"
"""Its whole step goes to the guided prediction of its second evaluation with the noise that evaluation saw, counted
from the first one's; the reference's pictures depend on it. Where nothing guides this is not the plain method."""


def unguided(x: torch.Tensor, sigma: float) -> torch.Tensor:
    return torch.tanh(x / (1 + sigma**2) ** 0.5)


def denoised(x: torch.Tensor, sigma: float) -> torch.Tensor:
    return unguided(x, sigma) + 0.2 * torch.cos(x)


def full_guide(x: torch.Tensor, sigma: float):
    yield from ()
    return Guided(denoised(x, sigma), unguided(x, sigma))


def start() -> torch.Tensor:
    return torch.randn(1, 4, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * LEVELS[0]


def test_there_are_seven_cfg_plus_plus_samplers() -> None:
    assert len(NAMES) == 7
    assert all(name.endswith("_cfg_pp") for name in NAMES)


@pytest.mark.parametrize("name", [name for name in NAMES if name != TAKES_LATER_NOISE])
def test_a_cfg_plus_plus_sampler_without_guidance_is_the_plain_sampler(name: str) -> None:
    plain, plus = SAMPLERS[name.removesuffix("_cfg_pp")], SAMPLERS[name]
    guide = exact_guide(0.7)
    wanted = drive(plain.start(start(), LEVELS, guide, EPS, seed=5))
    assert torch.equal(drive(plus.start(start(), LEVELS, guide_for(plus, guide), EPS, seed=5)), wanted)


def test_euler_cfg_plus_plus_is_algorithm_2_in_the_variance_preserving_scale() -> None:
    """DDIM towards the guided prediction with the noise of the unguided one; a = 1/(1 + sigma²)."""
    x = start()
    scaled = x / (1 + LEVELS[0] ** 2) ** 0.5
    for sigma, sigma_next in pairwise(LEVELS):
        a, a_next = 1 / (1 + sigma**2), 1 / (1 + sigma_next**2)
        clean = denoised(scaled / a**0.5, sigma)
        eps = (scaled - a**0.5 * unguided(scaled / a**0.5, sigma)) / (1 - a) ** 0.5
        scaled = a_next**0.5 * clean + (1 - a_next) ** 0.5 * eps
    result = drive(SAMPLERS["euler_cfg_pp"].start(x, LEVELS, full_guide, EPS, seed=0))
    assert torch.allclose(result, scaled, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_guidance_leads_a_cfg_plus_plus_sampler_elsewhere_than_the_plain_one(name: str) -> None:
    plain = SAMPLERS[name.removesuffix("_cfg_pp")]

    def guide(x: torch.Tensor, sigma: float):
        yield from ()
        return denoised(x, sigma)

    ours = drive(SAMPLERS[name].start(start(), LEVELS, full_guide, EPS, seed=5))
    assert not torch.allclose(ours, drive(plain.start(start(), LEVELS, guide, EPS, seed=5)), atol=1e-3)
