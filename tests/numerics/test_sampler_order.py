"""Measured order of convergence against the claimed one, on Gaussian data where the exact solution is known."""

from __future__ import annotations

import math
import re
from typing import Any

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
MULTISTEP = ("lms", "deis", "ipndm_v")
MEASURED = {
    **ODE_ORDERS,
    **SDE_ORDERS,
    **dict.fromkeys(MULTISTEP, 2),
    **dict.fromkeys(("dpm_fast", "sa_solver", "sa_solver_pece"), 3),
}
UNSTATED = {"ddpm", "lcm", "er_sde", "dpm_adaptive"}
"""Stochastic alone, no integration at all, and two whose order is what they are told."""


def geometric_levels(steps: int, start: float = START, end: float = END) -> list[float]:
    return [start * (end / start) ** (step / steps) for step in range(steps + 1)]


def flow_levels(steps: int) -> list[float]:
    """Even in lambda = log((1 - sigma)/sigma), from 0.98 to 0.02."""
    high = math.log(0.02 / 0.98)
    return [1.0 / (1.0 + math.exp(high - 2 * high * step / steps)) for step in range(steps + 1)]


def error_of(name: str, levels: list[float], *, is_flow: bool, **options: Any) -> float:
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


@pytest.mark.parametrize("name", MULTISTEP)
def test_multistep_methods_that_start_with_euler_are_held_to_second_order_by_their_start(name: str) -> None:
    # From a level near the data's own spread: further up the slope hardly changes, and the start's error is hidden.
    coarse, fine = (error_of(name, geometric_levels(steps, start=1.0), is_flow=False) for steps in (160, 320))
    assert math.log2(coarse / fine) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize(("max_stage", "order"), [(1, 1), (2, 2), (3, 2)])
def test_er_sde_along_the_ode_has_the_order_of_its_stages_up_to_its_start(max_stage: int, order: int) -> None:
    options = {"max_stage": max_stage, "s_noise": 0.0, "noise_scale": lambda level: level}
    coarse, fine = (error_of("er_sde", geometric_levels(steps), is_flow=False, **options) for steps in (20, 40))
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.1)


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


@pytest.mark.parametrize("order", [2, 3])
def test_dpm_adaptive_has_its_order_in_its_evaluations(order: int) -> None:
    def run(tolerance: float) -> tuple[int, float]:
        evaluations: list[float] = []

        def counting(x: torch.Tensor, sigma: float):
            evaluations.append(sigma)
            return (yield from exact_guide(STD)(x, sigma))

        x = torch.ones(1, dtype=torch.float64)
        sampler = SAMPLERS["dpm_adaptive"].with_options(rtol=tolerance, atol=tolerance / 10, order=order)
        result = drive(sampler.start(x, [START, END], counting, EPS, seed=0))
        return len(evaluations), abs(float(result - exact_path(x, STD, START, END)))

    (few, loose), (many, strict) = run(1e-3), run(1e-5)
    measured = math.log(loose / strict) / math.log(many / few)
    # Of order 3 it is better here: the errors of its few steps differ in sign and cancel.
    assert order - 0.1 < measured < order + (0.1 if order == 2 else 1.0)


def test_every_sampler_states_the_order_that_is_measured_here() -> None:
    for name, sampler in SAMPLERS.items():
        stated = re.search(r"(?<!Weak )[Oo]rder of\s+convergence(?::| to)\s+(\d)", sampler.method.__doc__ or "")
        if stated is not None:
            plain = name.removesuffix("_cfg_pp").removesuffix("_gpu").replace("ddim", "euler")
            assert MEASURED[plain.replace("multistep_ancestral", "multistep")] == int(stated[1]), name
        else:
            assert name in UNSTATED


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
