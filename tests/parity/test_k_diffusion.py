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
from engine.diffusion.discretization.polyexponential import polyexponential_levels
from engine.diffusion.discretization.variance_preserving import variance_preserving_levels
from engine.diffusion.noise import BrownianNoise, GaussianNoise
from engine.diffusion.requests import drive
from engine.diffusion.samplers.dpm_adaptive import dpm_adaptive
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


@pytest.mark.parametrize("steps", [1, 2, 9, 30])
def test_levels_by_formula_are_theirs(theirs: types.ModuleType, steps: int) -> None:
    ends = (0.0291675, 14.614642)
    pairs = (
        (karras_levels(steps, *ends), theirs.get_sigmas_karras(steps, *ends)),
        (karras_levels(steps, *ends, rho=3.0), theirs.get_sigmas_karras(steps, *ends, rho=3.0)),
        (exponential_levels(steps, *ends), theirs.get_sigmas_exponential(steps, *ends)),
        (polyexponential_levels(steps, *ends), theirs.get_sigmas_polyexponential(steps, *ends)),
        (polyexponential_levels(steps, *ends, 2.5), theirs.get_sigmas_polyexponential(steps, *ends, rho=2.5)),
        (variance_preserving_levels(steps), theirs.get_sigmas_vp(steps)),
        (variance_preserving_levels(steps, 10.0, 0.2, 0.01), theirs.get_sigmas_vp(steps, 10.0, 0.2, 0.01)),
    )
    for ours, wanted in pairs:
        assert torch.allclose(torch.tensor(ours), wanted, rtol=1e-6, atol=1e-6)


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


@pytest.mark.parametrize(
    "options",
    [
        {"order": 2},
        {"rtol": 0.02, "atol": 0.002, "first_step": 0.2, "accept_from": 0.9},
        {"pid": (0.1, 0.7, 0.2)},
        {"eta": 0.7, "s_noise": 0.9},
        {"eta": 1.0, "order": 2},
    ],
)
def test_dpm_adaptive_with_any_settings_is_theirs(theirs: types.ModuleType, options: dict[str, object]) -> None:
    x = start()
    given = dict(options)
    names = {"first_step": "h_init", "accept_from": "accept_safety"}
    pid = dict(zip(("pcoeff", "icoeff", "dcoeff"), given.pop("pid", (0.0, 1.0, 0.0)), strict=True))
    wanted = theirs.sample_dpm_adaptive(
        model,
        x,
        LEVELS[-2],
        LEVELS[0],
        disable=True,
        noise_sampler=GaussianNoise(x, SEED),
        **pid,
        **{names.get(name, name): value for name, value in given.items()},
    )
    noise = GaussianNoise(x, SEED) if "eta" in options else None
    result = drive(dpm_adaptive(x, LEVELS, guide, noise, **options))
    assert float((result - wanted).norm() / wanted.norm()) < TOLERANCE


@pytest.mark.parametrize(
    ("name", "ours", "their_options"),
    [
        ("euler_ancestral", {"eta": 0.6, "s_noise": 1.1}, {}),
        ("dpmpp_2s_ancestral", {"eta": 0.6, "s_noise": 1.1}, {}),
        ("dpmpp_sde", {"eta": 0.6, "s_noise": 1.1, "r": 0.4}, {}),
        ("dpmpp_3m_sde", {"eta": 0.6, "s_noise": 1.1}, {}),
        ("lms", {"max_order": 2}, {"order": 2}),
    ],
)
def test_settings_of_a_sampler_mean_what_they_mean_there(
    theirs: types.ModuleType, name: str, ours: dict[str, float], their_options: dict[str, float]
) -> None:
    x = start()
    options = dict(their_options or ours)
    if SAMPLERS[name].noise == "gaussian":
        options["noise_sampler"] = GaussianNoise(x, SEED)
    if SAMPLERS[name].noise == "brownian":
        noise = BrownianNoise(x, SEED, LEVELS[-2], LEVELS[0])
        options["noise_sampler"] = lambda sigma, sigma_next: noise(float(sigma), float(sigma_next))
    wanted = getattr(theirs, f"sample_{name}")(model, x, torch.tensor(LEVELS), disable=True, **options)
    result = drive(SAMPLERS[name].with_options(**ours).start(x, LEVELS, guide, EPS, SEED))
    assert float((result - wanted).norm() / wanted.norm()) < 2 * TOLERANCE
