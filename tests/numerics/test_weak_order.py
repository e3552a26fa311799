"""Weak order of stochastic samplers: how fast the variance of what they draw nears that of Gaussian data.

Nothing is drawn. On such data a sampler is linear in its start and its noises, so one run on a basis of them tells how
much of each is in the result, and the variance is known to rounding.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.nn.functional import one_hot

from engine.diffusion.requests import drive
from engine.diffusion.samplers.registry import SAMPLERS
from tests.gaussian_denoiser import EPS, exact_guide

STD = 0.7
START, END = 5.0, 0.05
STEPS = 80
MAX_DRAWS = 3
"""In a step; seeds_3 takes as many."""

WEAK_ORDERS = {
    "ddpm": 1,
    "euler_ancestral": 1,
    "dpm_2_ancestral": 2,
    "dpmpp_2s_ancestral": 2,
    "res_multistep_ancestral": 2,
    "seeds_2": 2,
    "seeds_3": 2,
    "sa_solver": 2,
    "sa_solver_pece": 2,
}


class Basis:
    """In place of noise: the first draw is in the second item of a batch alone, the next in the third, and so on."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._drawn = 0

    def __call__(self, sigma: float, sigma_next: float) -> torch.Tensor:
        self._drawn += 1
        return self._unit(self._drawn)

    def start(self) -> torch.Tensor:
        """The start of the run, which is in the first item alone."""
        return self._unit(0)

    def _unit(self, place: int) -> torch.Tensor:
        return one_hot(torch.tensor(place), self._size).double().view(-1, 1, 1, 1)


def error_of_variance(name: str, steps: int, **more: Any) -> float:
    sampler = SAMPLERS[name]
    options = {**sampler.options, **more}
    if sampler.takes_path:
        options["path"] = EPS.prediction.path
    if sampler.levels_at:
        options |= {"noisy_from": math.inf, "noisy_to": 0.0}
    levels = [START * (END / START) ** (step / steps) for step in range(steps + 1)]
    basis = Basis(MAX_DRAWS * steps + 1)
    weights = drive(sampler.method(basis.start(), levels, exact_guide(STD), basis, **options)).flatten()
    variance = weights[0] ** 2 * (STD**2 + START**2) + weights[1:].square().sum()
    return abs(float(variance) / (STD**2 + END**2) - 1.0)


def measured_order(name: str, **more: Any) -> float:
    return math.log2(error_of_variance(name, STEPS, **more) / error_of_variance(name, 2 * STEPS, **more))


@pytest.mark.parametrize(("name", "order"), WEAK_ORDERS.items())
def test_halving_the_steps_divides_the_error_of_the_variance_by_two_to_the_weak_order(name: str, order: int) -> None:
    assert measured_order(name) == pytest.approx(order, abs=0.15)


def test_er_sde_of_one_stage_has_weak_order_one() -> None:
    assert measured_order("er_sde", max_stage=1) == pytest.approx(1, abs=0.15)
