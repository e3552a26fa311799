"""Samplers against the schedulers of the same name in diffusers, on the same denoiser, levels and noise.

Theirs step latents that are scaled to keep their variance, ours add noise on top; √(1 + sigma²) is between the two. Not
compared, since the formulations differ: deis (theirs fits polynomials in log sigma, ours in the time of the process),
ipndm (theirs has levels and a slope of its own), sa_solver_pece (theirs has no second evaluation). Heun, LMS, DPM2 and
DPM-Solver++ are compared with k-diffusion; Euler, Euler ancestral, DDIM and LCM as models of few steps use them.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch

from engine.diffusion.discretization.karras import karras_levels
from engine.diffusion.noise import GaussianNoise
from engine.diffusion.requests import drive
from engine.diffusion.samplers.registry import SAMPLERS
from engine.diffusion.samplers.sa_solver import sa_solver
from engine.diffusion.samplers.uni_pc import END_LEVEL
from tests.gaussian_denoiser import EPS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from diffusers import DDPMScheduler, SASolverScheduler, UniPCMultistepScheduler

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
"""Of numpy, about their schedulers."""

SEED = 11
LEVELS = karras_levels(10, 0.03, 14.6)[:-1]
TOLERANCE = 1e-4
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "prediction_type": "sample"}


def model(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """A denoiser that is not linear, so that higher-order terms count."""
    return torch.tanh(x / math.sqrt(1 + sigma**2)) + 0.1 * torch.sin(x)


def guide(x: torch.Tensor, sigma: float) -> Any:
    yield from ()
    return model(x, sigma)


def start(sigma: float) -> torch.Tensor:
    return torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(SEED)) * sigma


def theirs(scheduler: Any, levels: list[float], timesteps: list[int], **options: Any) -> torch.Tensor:
    """What a scheduler makes of `start`, in the scale in which noise is added on top."""
    x = start(levels[0]) / math.sqrt(1 + levels[0] ** 2)
    for sigma, step in zip(levels, timesteps, strict=False):
        denoised = model(x * math.sqrt(1 + sigma**2), sigma)
        x = scheduler.step(denoised, step, x, **options).prev_sample
    return x * math.sqrt(1 + levels[-1] ** 2)


def at_levels(scheduler: Any, levels: list[float], dtype: torch.dtype) -> list[int]:
    """Make a scheduler step over these levels; its steps are then numbered from 0."""
    steps = list(range(len(levels) - 1))
    scheduler.set_timesteps(len(steps))
    scheduler.sigmas, scheduler.timesteps = torch.tensor(levels, dtype=dtype), torch.tensor(steps)
    return steps


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize(("name", "variant"), [("uni_pc", "bh1"), ("uni_pc_bh2", "bh2")])
def test_uni_pc_is_that_of_diffusers(name: str, variant: str) -> None:
    scheduler = UniPCMultistepScheduler(**BETAS, solver_order=3, solver_type=variant)
    levels = [*LEVELS, END_LEVEL]
    wanted = theirs(scheduler, levels, at_levels(scheduler, levels, torch.float32))
    found = drive(SAMPLERS[name].start(start(levels[0]), (*LEVELS, 0.0), guide, EPS, SEED))
    assert relative_error(found, wanted) < TOLERANCE


@pytest.mark.parametrize("tau", [0.0, 1.0, 0.6])
@pytest.mark.parametrize(("predictor", "corrector"), [(3, 4), (2, 2)])
def test_sa_solver_is_that_of_diffusers(tau: float, predictor: int, corrector: int) -> None:
    orders = {"predictor_order": predictor, "corrector_order": corrector}
    # Their orders fall towards the end by another rule than those of the paper's code.
    scheduler = SASolverScheduler(**BETAS, **orders, tau_func=lambda step: tau, lower_order_final=False)
    timesteps = at_levels(scheduler, LEVELS, torch.float64)
    wanted = theirs(scheduler, LEVELS, timesteps, generator=torch.Generator().manual_seed(SEED))
    x = start(LEVELS[0])
    noise = GaussianNoise(x, SEED)
    window = {"noisy_from": math.inf, "noisy_to": 0.0}
    found = drive(sa_solver(x, LEVELS, guide, noise, **window, **orders, eta=tau, simplifies_order_2=True))
    assert relative_error(found, wanted) < TOLERANCE


def test_ddpm_is_that_of_diffusers() -> None:
    scheduler = DDPMScheduler(**BETAS, clip_sample=False)
    timesteps = list(range(999, 0, -100))
    scheduler.set_timesteps(timesteps=timesteps)
    levels = [float(((1 - a) / a).sqrt()) for a in scheduler.alphas_cumprod[timesteps].double()] + [0.0]
    wanted = theirs(scheduler, levels, timesteps, generator=torch.Generator().manual_seed(SEED))
    found = drive(SAMPLERS["ddpm"].start(start(levels[0]), levels, guide, EPS, SEED))
    assert relative_error(found, wanted) < TOLERANCE
