"""Measured order of convergence against the claimed one, on Gaussian data where the exact solution is known."""

from __future__ import annotations

import math

import pytest
import torch

from engine.diffusion.noise import GaussianNoise
from engine.diffusion.requests import drive
from engine.diffusion.samplers.registry import SAMPLERS
from engine.diffusion.samplers.sa_solver import sa_solver
from tests.gaussian_denoiser import EPS, FLOW, exact_guide, exact_path

STD = 0.7
START, END = 5.0, 0.05

ODE_ORDERS = {
    "euler": 1,
    "heun": 2,
    "heunpp2": 1,
    "dpm_2": 2,
    "dpmpp_2m": 2,
    "ipndm": 2,
    "gradient_estimation": 1,
    "uni_pc": 2,
    "uni_pc_bh2": 2,
}
SDE_ORDERS = {
    "euler_ancestral": 1,
    "dpm_2_ancestral": 2,
    "dpmpp_2s_ancestral": 2,
    "dpmpp_sde": 2,
    "dpmpp_2m_sde": 2,
    "dpmpp_2m_sde_heun": 2,
    "dpmpp_3m_sde": 2,
    "res_multistep": 2,
    "seeds_2": 2,
    "seeds_3": 3,
}
"""With eta = 0, where the noise vanishes and the method is an ODE solver."""


def geometric_levels(steps: int, start: float = START, end: float = END) -> list[float]:
    return [start * (end / start) ** (step / steps) for step in range(steps + 1)]


def flow_levels(steps: int) -> list[float]:
    """Even in lambda = log((1 - sigma)/sigma), from 0.98 to 0.02."""
    high = math.log(0.02 / 0.98)
    return [1.0 / (1.0 + math.exp(high - 2 * high * step / steps)) for step in range(steps + 1)]


def error_of(name: str, levels: list[float], *, is_flow: bool, **options: float) -> float:
    x = torch.ones(1, dtype=torch.float64)
    sampler = SAMPLERS[name].with_options(**options)
    form = FLOW if is_flow else EPS
    result = drive(sampler.start(x, levels, exact_guide(STD, is_flow=is_flow), form, seed=0))
    return abs(float(result - exact_path(x, STD, levels[0], levels[-1], is_flow=is_flow)))


def measured_order(name: str, *, is_flow: bool = False, **options: float) -> float:
    make = flow_levels if is_flow else geometric_levels
    coarse, fine = (error_of(name, make(steps), is_flow=is_flow, **options) for steps in (160, 320))
    return math.log2(coarse / fine)


@pytest.mark.parametrize(("name", "order"), ODE_ORDERS.items())
def test_halving_the_steps_of_an_ode_sampler_divides_the_error_by_two_to_its_order(name: str, order: int) -> None:
    assert measured_order(name) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize(("name", "order"), SDE_ORDERS.items())
def test_a_stochastic_sampler_without_noise_has_its_order(name: str, order: int) -> None:
    assert measured_order(name, eta=0.0) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("name", ["euler", "heun", "dpmpp_2m"])
def test_ode_samplers_have_their_order_on_rectified_flows(name: str) -> None:
    assert measured_order(name, is_flow=True) == pytest.approx(ODE_ORDERS[name], abs=0.15)


@pytest.mark.parametrize(
    "name", ["euler_ancestral", "dpmpp_2s_ancestral", "dpmpp_2m_sde", "dpmpp_sde", "seeds_2", "seeds_3"]
)
def test_stochastic_samplers_have_their_order_on_rectified_flows(name: str) -> None:
    assert measured_order(name, is_flow=True, eta=0.0) == pytest.approx(SDE_ORDERS[name], abs=0.15)


def test_lms_is_exact_for_slopes_that_are_cubic_in_sigma() -> None:
    levels = [4.0, 3.9, 3.7, 3.3, 2.6, 1.7, 1.1, 0.6]

    def cubic_guide(x: torch.Tensor, sigma: float):
        yield from ()
        return x - sigma * torch.full_like(x, sigma**3 - sigma)

    result = drive(SAMPLERS["lms"].start(torch.zeros(1, dtype=torch.float64), levels, cubic_guide, EPS, 0))
    # The three start-up steps are of lower order; their error is what polynomials of degree 0, 1, 2 leave.
    exact = (levels[-1] ** 4 - levels[3] ** 4) / 4 - (levels[-1] ** 2 - levels[3] ** 2) / 2
    start = drive(SAMPLERS["lms"].start(torch.zeros(1, dtype=torch.float64), levels[:4], cubic_guide, EPS, 0))
    assert float(result - start) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("name", ["lms", "deis", "ipndm_v"])
def test_multistep_methods_that_start_with_euler_have_at_least_second_order(name: str) -> None:
    assert measured_order(name) > 1.9


def test_dpm_fast_has_third_order_in_its_evaluations() -> None:
    # Equal remainders by three, so that the last step is of equal order.
    coarse, fine = (error_of("dpm_fast", geometric_levels(steps), is_flow=False) for steps in (161, 320))
    assert math.log2(coarse / fine) == pytest.approx(3, abs=0.1)


def test_dpm_adaptive_keeps_its_error_near_the_tolerance() -> None:
    loose, strict = (
        error_of("dpm_adaptive", geometric_levels(1), is_flow=False, rtol=tolerance, atol=tolerance / 10)
        for tolerance in (0.05, 0.0005)
    )
    assert loose < 0.02
    assert strict < loose / 20


@pytest.mark.parametrize("evaluates_corrected", [False, True])
def test_sa_solver_without_noise_has_third_order(evaluates_corrected: bool) -> None:
    def error(steps: int) -> float:
        x, levels = torch.ones(1, dtype=torch.float64), geometric_levels(steps)
        flow = sa_solver(
            x, levels, exact_guide(STD), GaussianNoise(x, 0), noisy_from=0.0, noisy_to=math.inf,
            evaluates_corrected=evaluates_corrected,
        )  # fmt: skip
        return abs(float(drive(flow) - exact_path(x, STD, levels[0], levels[-1])))

    assert math.log2(error(20) / error(80)) / 2 > 2.9
