"""Rules of guidance against diffusers' guiders on the same predictions, and networks of continuous levels."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

from engine.diffusion.guidance.guidance import PLAIN, Guidance, Sides
from engine.diffusion.guidance.projected import AdaptiveProjection
from engine.diffusion.guidance.rescale import Rescale
from engine.diffusion.guidance.tangential import TangentialDamping
from engine.diffusion.guidance.zero_star import ZeroStar
from engine.diffusion.prediction import EdmPrediction, EpsPrediction, FlowPrediction, VPrediction
from engine.diffusion.requests import drive
from engine.diffusion.sigma_table import EdmSigmaTable

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from diffusers import EDMEulerScheduler
    from diffusers.guiders import (
        AdaptiveProjectedGuidance,
        ClassifierFreeGuidance,
        ClassifierFreeZeroStarGuidance,
        TangentialClassifierFreeGuidance,
    )
    from diffusers.guiders.adaptive_projected_guidance import MomentumBuffer

SIGMA, SCALE = 1.7, 4.0


def sides(number: int = 0) -> Sides:
    """Predictions of two sides, of which the negative one is a little like the positive one."""
    generator = torch.Generator().manual_seed(number)
    x, wanted, other = (torch.randn(2, 4, 8, 8, generator=generator) for _ in range(3))
    return Sides(x * SIGMA, SIGMA, SCALE, wanted, wanted * 0.6 + other * 0.5, ask=lambda model: iter(()))


def noises(given: Sides) -> tuple[torch.Tensor, torch.Tensor]:
    """What a network that predicts noise puts out for both sides."""
    return (given.x - given.wanted) / SIGMA, (given.x - given.unwanted) / SIGMA


@pytest.mark.parametrize(
    ("guidance", "theirs"),
    [
        (PLAIN, ClassifierFreeGuidance(SCALE)),
        (PLAIN.with_preparation(TangentialDamping()), TangentialClassifierFreeGuidance(SCALE)),
    ],
    ids=["plain", "tangential damping"],
)
def test_guidance_of_noises_is_that_of_diffusers(guidance: Guidance, theirs: Any) -> None:
    given = sides()
    found = drive(guidance.start()(given)).denoised
    wanted = given.x - SIGMA * theirs.forward(*noises(given)).pred
    assert torch.allclose(found, wanted, atol=2e-4)


@pytest.mark.parametrize("prediction", [EpsPrediction(), FlowPrediction()], ids=["noise", "velocity"])
def test_zero_star_of_what_networks_predict_is_that_of_diffusers(prediction: Any) -> None:
    theirs = ClassifierFreeZeroStarGuidance(SCALE, zero_init_steps=0)
    theirs.set_state(0, 10, torch.tensor(0))
    sigma = 0.6
    x, positive, other = (torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(n)) for n in range(3))
    negative = positive * 0.6 + other * 0.5
    factors = prediction.factors(torch.tensor(sigma))

    def denoised(output: torch.Tensor) -> torch.Tensor:
        return x * factors.c_skip + output * factors.c_out

    given = Sides(x, sigma, SCALE, denoised(positive), denoised(negative), ask=lambda model: iter(()))
    found = drive(PLAIN.with_correction(ZeroStar()).start()(given)).denoised
    assert torch.allclose(found, denoised(theirs.forward(positive, negative).pred), atol=1e-4)


@pytest.mark.parametrize("multiplier", [0.3, 0.7, 1.0])
def test_rescaled_guidance_of_velocities_is_that_of_diffusers(multiplier: float) -> None:
    given, share = sides(), 1 / (1 + SIGMA**2)
    # v = (scaled x) · sqrt(a) ... : from denoised = sqrt(a)·x' - sqrt(1 - a)·v with x' = sqrt(a)·x.
    velocities = [(share * given.x - side) / (1 - share) ** 0.5 for side in (given.wanted, given.unwanted)]
    theirs = ClassifierFreeGuidance(SCALE, guidance_rescale=multiplier).forward(*velocities).pred
    found = drive(PLAIN.with_combination(Rescale(multiplier)).start()(given)).denoised
    assert torch.allclose(found, share * given.x - (1 - share) ** 0.5 * theirs, atol=1e-4)


@pytest.mark.parametrize(("eta", "threshold", "momentum"), [(1.0, 5.0, 0.0), (0.3, 0.0, -0.5), (0.0, 2.5, -0.75)])
def test_projected_guidance_over_a_run_is_that_of_diffusers(eta: float, threshold: float, momentum: float) -> None:
    # Theirs counts the scale from the positive side, ours as guidance usually does.
    theirs = AdaptiveProjectedGuidance(SCALE - 1.0, momentum, threshold, eta=eta, use_original_formulation=True)
    theirs.momentum_buffer = MomentumBuffer(momentum)
    run = PLAIN.with_preparation(AdaptiveProjection(eta, threshold, momentum)).start()
    for number in range(3):
        given = sides(number)
        found = drive(run(given)).denoised
        assert torch.allclose(found, theirs.forward(given.wanted, given.unwanted).pred, atol=1e-4)


@pytest.mark.parametrize(("prediction", "kind"), [(EdmPrediction(), "epsilon"), (VPrediction(0.5), "v_prediction")])
def test_networks_of_continuous_levels_are_conditioned_as_in_diffusers(prediction: Any, kind: str) -> None:
    scheduler = EDMEulerScheduler(sigma_min=0.002, sigma_max=80.0, sigma_data=0.5, prediction_type=kind)
    table = EdmSigmaTable(0.002, 80.0)
    x, output = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    for sigma in (80.0, 3.0, 0.5, 0.01):
        level = torch.tensor([[[[sigma]]]])
        factors = prediction.factors(level)
        assert torch.allclose(x * factors.c_in, scheduler.precondition_inputs(x, level), rtol=1e-5)
        found, wanted = x * factors.c_skip + output * factors.c_out, scheduler.precondition_outputs(x, output, level)
        assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-5)
        assert torch.allclose(table.c_noise(torch.tensor([sigma])), scheduler.precondition_noise(torch.tensor([sigma])))
