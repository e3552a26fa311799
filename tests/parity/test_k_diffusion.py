"""Samplers against k-diffusion's on the same denoiser, levels and noise."""

from __future__ import annotations

import importlib.util
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from engine.diffusion.discretization.exponential import exponential_levels
from engine.diffusion.discretization.karras import karras_levels
from engine.diffusion.noise import BrownianNoise, GaussianNoise
from engine.diffusion.requests import drive
from engine.diffusion.samplers.registry import SAMPLERS
from tests.gaussian_denoiser import EPS

SEED = 11
LEVELS = karras_levels(7, 0.03, 14.6)
TOLERANCE = 2e-5
"""Ours steps in double, theirs in single precision; Brownian times are rounded to 1e-6."""

NAMES = (
    "euler",
    "euler_ancestral",
    "heun",
    "dpm_2",
    "dpm_2_ancestral",
    "lms",
    "dpmpp_2s_ancestral",
    "dpmpp_sde",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "dpmpp_3m_sde",
)


@pytest.fixture(scope="module")
def theirs() -> Iterator[types.ModuleType]:
    """k-diffusion's sampling module by its path: the package imports training code with more dependencies."""
    spec = importlib.util.find_spec("k_diffusion")
    if spec is None or spec.submodule_search_locations is None:
        pytest.skip("k-diffusion is not installed")
    path = Path(spec.submodule_search_locations[0]) / "sampling.py"
    package = types.ModuleType("theirs")
    package.__path__ = [str(path.parent)]
    torchdiffeq = types.ModuleType("torchdiffeq")
    torchdiffeq.odeint = None  # used by likelihood estimation only
    replaced = {"theirs": package, "theirs.utils": types.ModuleType("theirs.utils"), "torchdiffeq": torchdiffeq}
    replaced["theirs.utils"].append_dims = lambda x, ndim: x[(...,) + (None,) * (ndim - x.ndim)]
    package.utils = replaced["theirs.utils"]
    before = {name: sys.modules.get(name) for name in (*replaced, "theirs.sampling")}
    sys.modules.update(replaced)
    source = importlib.util.spec_from_file_location("theirs.sampling", path)
    module = importlib.util.module_from_spec(source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source.loader.exec_module(module)
    yield module
    for name, old in before.items():
        if old is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = old


def model(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """A denoiser that is not linear, so that higher-order terms count."""
    sigma = sigma.view(-1, 1, 1, 1)
    return torch.tanh(x / (1 + sigma**2).sqrt()) + 0.1 * torch.sin(x)


def guide(x: torch.Tensor, sigma: float):
    yield from ()
    return model(x, torch.full((x.shape[0],), sigma))


def start() -> torch.Tensor:
    return torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(SEED)) * LEVELS[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_sampler_gives_the_result_of_its_namesake(theirs: types.ModuleType, name: str) -> None:
    x = start()
    options = {}
    if SAMPLERS[name].noise == "gaussian":
        options["noise_sampler"] = GaussianNoise(x, SEED)
    if SAMPLERS[name].noise == "brownian":
        noise = BrownianNoise(x, SEED, LEVELS[-2], LEVELS[0])
        options["noise_sampler"] = lambda sigma, sigma_next: noise(float(sigma), float(sigma_next))
    wanted = getattr(theirs, f"sample_{name}")(model, x, torch.tensor(LEVELS), disable=True, **options)
    result = drive(SAMPLERS[name].start(x, LEVELS, guide, EPS, SEED))
    assert float((result - wanted).norm() / wanted.norm()) < TOLERANCE


def test_the_heun_correction_is_the_heun_solver_of_dpmpp_2m_sde(theirs: types.ModuleType) -> None:
    x = start()
    noise = BrownianNoise(x, SEED, LEVELS[-2], LEVELS[0])
    wanted = theirs.sample_dpmpp_2m_sde(
        model,
        x,
        torch.tensor(LEVELS),
        disable=True,
        solver_type="heun",
        noise_sampler=lambda sigma, sigma_next: noise(float(sigma), float(sigma_next)),
    )
    result = drive(SAMPLERS["dpmpp_2m_sde_heun"].start(x, LEVELS, guide, EPS, SEED))
    assert float((result - wanted).norm() / wanted.norm()) < TOLERANCE


def test_karras_and_exponential_levels_are_theirs(theirs: types.ModuleType) -> None:
    assert torch.allclose(torch.tensor(karras_levels(9, 0.03, 14.6)), theirs.get_sigmas_karras(9, 0.03, 14.6))
    assert torch.allclose(torch.tensor(exponential_levels(9, 0.03, 14.6)), theirs.get_sigmas_exponential(9, 0.03, 14.6))


def test_dpm_fast_is_theirs_for_every_number_of_evaluations(theirs: types.ModuleType) -> None:
    x = start()
    for evaluations in (5, 6, 7):
        levels = [*karras_levels(evaluations, 0.03, 14.6)]
        wanted = theirs.sample_dpm_fast(model, x, levels[-2], levels[0], evaluations, disable=True)
        result = drive(SAMPLERS["dpm_fast"].start(x, levels, guide, EPS, SEED))
        assert float((result - wanted).norm() / wanted.norm()) < TOLERANCE


def test_dpm_adaptive_is_theirs(theirs: types.ModuleType) -> None:
    x = start()
    wanted = theirs.sample_dpm_adaptive(model, x, LEVELS[-2], LEVELS[0], disable=True)
    result = drive(SAMPLERS["dpm_adaptive"].start(x, LEVELS, guide, EPS, SEED))
    assert float((result - wanted).norm() / wanted.norm()) < TOLERANCE
