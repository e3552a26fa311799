"""Stochastic samplers on Gaussian data: what they draw has the variance of the data."""

from __future__ import annotations

import math

import pytest
import torch

from engine.diffusion.requests import drive
from engine.diffusion.samplers.registry import SAMPLERS
from tests.gaussian_denoiser import EPS, FLOW, exact_guide

STD = 0.7
NUM_DRAWS = 8_000
TOLERANCE = 0.04
"""Three standard errors of a standard deviation from 8,000 draws are 0.024; the rest is discretization."""

FIRST_ORDER = ("ddpm", "euler_ancestral", "er_sde", "res_multistep_ancestral")
STOCHASTIC = sorted(
    name
    for name, sampler in SAMPLERS.items()
    if sampler.noise != "none" and not name.endswith(("_gpu", "_cfg_pp")) and name != "res_multistep"
)
"""res_multistep takes noise, but adds none in its plain form; CFG++ forms are their plain ones where nothing guides."""


@pytest.mark.parametrize("name", sorted(set(STOCHASTIC) - {"lcm"}))
def test_many_steps_draw_data_of_the_right_spread(name: str) -> None:
    steps = 60 if name not in FIRST_ORDER else 400
    levels = [20.0 * (0.02 / 20.0) ** (step / steps) for step in range(steps + 1)] + [0.0]
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(NUM_DRAWS, 1, 1, 1, generator=generator) * math.hypot(STD, levels[0])
    result = drive(SAMPLERS[name].start(x, levels, exact_guide(STD), EPS, seed=4))
    assert float(result.std()) == pytest.approx(STD, rel=TOLERANCE)
    assert float(result.mean()) == pytest.approx(0.0, abs=TOLERANCE)


@pytest.mark.parametrize("name", ["euler_ancestral", "dpmpp_2s_ancestral", "dpmpp_sde", "dpmpp_2m_sde", "dpmpp_3m_sde"])
def test_many_steps_on_a_rectified_flow_draw_data_of_the_right_spread(name: str) -> None:
    levels = [0.999 + (0.005 - 0.999) * step / 200 for step in range(201)] + [0.0]
    x = torch.randn(NUM_DRAWS, 1, 1, 1, generator=torch.Generator().manual_seed(3))
    result = drive(SAMPLERS[name].start(x, levels, exact_guide(STD, is_flow=True), FLOW, seed=4))
    assert float(result.std()) == pytest.approx(STD, rel=TOLERANCE)


def test_lcm_ends_at_the_prediction_of_a_freshly_noised_prediction() -> None:
    x = torch.full((1, 1, 1, 4), 3.0)
    result = drive(SAMPLERS["lcm"].start(x, [2.0, 0.0], exact_guide(STD), EPS, seed=0))
    assert torch.allclose(result, x * (STD**2 / (STD**2 + 4.0)))


@pytest.mark.parametrize("name", STOCHASTIC)
def test_the_seed_decides_the_noise(name: str) -> None:
    levels = [5.0, 2.0, 0.7, 0.0]
    x = torch.ones(1, 4, 4, 4)

    def run(seed: int) -> torch.Tensor:
        return drive(SAMPLERS[name].start(x, levels, exact_guide(STD), EPS, seed))

    assert torch.equal(run(5), run(5))
    assert not torch.allclose(run(5), run(6))
