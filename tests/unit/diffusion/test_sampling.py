from __future__ import annotations

import pytest
import torch

from engine.diffusion.discretization.registry import discretize
from engine.diffusion.guiders.basic import Basic
from engine.diffusion.guiders.cfg import Cfg
from engine.diffusion.latent import LatentInput
from engine.diffusion.latent_format import LatentFormat
from engine.diffusion.noise import initial_noise
from engine.diffusion.prediction import EpsPrediction, FlowPrediction
from engine.diffusion.requests import RequestGroup, answer, drive
from engine.diffusion.samplers.registry import SAMPLERS
from engine.diffusion.sampling import Step, sample
from tests.gaussian_denoiser import GaussianDenoiser, entry

SIGMAS = (14.6146, 4.0, 1.0, 0.3, 0.0)
SHAPE = (2, 4, 8, 8)
SHIFTED = LatentFormat("shifted", num_channels=4, downscale=8, scale=0.5, shift=1.0)


def empty() -> LatentInput:
    return LatentInput(torch.zeros(SHAPE))


def run(denoiser: GaussianDenoiser, latent: LatentInput, sigmas: tuple[float, ...] = SIGMAS, **more: object):
    return drive(sample(Basic(denoiser, (entry(0.0),)), SAMPLERS["euler"], sigmas, latent, seed=3, **more))


def test_the_first_request_is_noise_at_the_variance_of_training() -> None:
    flow = sample(Basic(GaussianDenoiser(), (entry(),)), SAMPLERS["euler"], SIGMAS, empty(), seed=3)
    group = next(flow)
    flow.close()
    sigma_max = GaussianDenoiser().parameterization.sigma_table.sigma_max
    assert SIGMAS[0] == pytest.approx(sigma_max, rel=1e-5)
    assert torch.allclose(group.requests[0].x, initial_noise(SHAPE, 3) * (1 + SIGMAS[0] ** 2) ** 0.5)


def test_below_the_largest_level_noise_is_added_to_the_latent() -> None:
    latent = torch.randn(SHAPE)
    flow = sample(Basic(GaussianDenoiser(), (entry(),)), SAMPLERS["euler"], SIGMAS[1:], LatentInput(latent), seed=3)
    assert torch.allclose(next(flow).requests[0].x, latent + initial_noise(SHAPE, 3) * SIGMAS[1])
    flow.close()


def test_a_run_by_hand_with_next_and_send_is_the_driven_run() -> None:
    denoiser = GaussianDenoiser()
    flow = sample(Basic(denoiser, (entry(),)), SAMPLERS["heun"], SIGMAS, empty(), seed=3)
    group = next(flow)
    result = None
    while result is None:
        assert isinstance(group, RequestGroup)
        try:
            group = flow.send(answer(group))
        except StopIteration as stop:
            result = stop.value
    wanted = drive(sample(Basic(denoiser, (entry(),)), SAMPLERS["heun"], SIGMAS, empty(), seed=3))
    assert torch.equal(result, wanted)


def test_closing_a_run_ends_it_without_another_request() -> None:
    denoiser = GaussianDenoiser()
    flow = sample(Basic(denoiser, (entry(),)), SAMPLERS["euler"], SIGMAS, empty(), seed=3)
    next(flow)
    flow.close()
    with pytest.raises(StopIteration):
        next(flow)
    assert denoiser.forwards == []


def test_an_item_of_a_batch_is_the_picture_it_is_alone() -> None:
    batch = run(GaussianDenoiser(), empty())
    alone = run(GaussianDenoiser(), LatentInput(torch.zeros(1, 4, 8, 8), batch_index=(1,)))
    assert torch.equal(batch[1:], alone)


def test_fewer_than_two_levels_leave_the_latent_as_it_is() -> None:
    latent = LatentInput(torch.randn(SHAPE))
    assert torch.equal(run(GaussianDenoiser(), latent, ()), latent.samples)
    assert torch.equal(run(GaussianDenoiser(), latent, (1.0,)), latent.samples)


def test_the_input_is_not_modified() -> None:
    samples = torch.randn(SHAPE)
    before = samples.clone()
    run(GaussianDenoiser(), LatentInput(samples, noise_mask=torch.rand(2, 1, 8, 8)))
    assert torch.equal(samples, before)


def test_a_run_without_added_noise_starts_from_the_latent() -> None:
    latent = torch.randn(SHAPE)
    flow = sample(
        Basic(GaussianDenoiser(), (entry(),)), SAMPLERS["euler"], SIGMAS, LatentInput(latent), seed=3, adds_noise=False
    )
    assert torch.equal(next(flow).requests[0].x, latent)
    flow.close()


def test_two_halves_of_a_schedule_make_the_whole() -> None:
    whole = run(GaussianDenoiser(), empty())
    half = run(GaussianDenoiser(), empty(), SIGMAS[:3])
    both = run(GaussianDenoiser(), LatentInput(half), SIGMAS[2:], adds_noise=False)
    assert torch.allclose(both, whole, atol=1e-6)


def test_two_halves_of_a_rectified_flow_make_the_whole() -> None:
    denoiser = GaussianDenoiser(is_flow=True)
    sigmas = (1.0, 0.8, 0.5, 0.2, 0.0)
    whole = run(denoiser, empty(), sigmas)
    half = run(denoiser, empty(), sigmas[:3])
    # A latent left at level 0.5 is handed on at full weight; the second run weighs it with 1 - 0.5 again.
    both = run(denoiser, LatentInput(half), sigmas[2:], adds_noise=False)
    assert torch.allclose(both, whole, atol=1e-5)


def test_latents_leave_in_the_scale_they_came_in() -> None:
    denoiser = GaussianDenoiser(std=0.0, latent_format=SHIFTED)
    result = drive(sample(Basic(denoiser, (entry(2.0),)), SAMPLERS["euler"], SIGMAS, empty(), seed=3))
    assert torch.allclose(result, torch.full(SHAPE, 2.0 / 0.5 + 1.0), atol=1e-4)


def test_an_empty_latent_is_not_shifted() -> None:
    denoiser = GaussianDenoiser(latent_format=SHIFTED)
    flow = sample(Basic(denoiser, (entry(),)), SAMPLERS["euler"], SIGMAS[1:], empty(), seed=3)
    assert torch.allclose(next(flow).requests[0].x, initial_noise(SHAPE, 3) * SIGMAS[1])
    flow.close()


# ------------------------------------------------------------------ masks


def half_mask() -> torch.Tensor:
    mask = torch.zeros(2, 1, 8, 8)
    mask[..., :4] = 1.0
    return mask


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_what_the_mask_keeps_is_the_original(name: str) -> None:
    latent = LatentInput(torch.randn(SHAPE), noise_mask=half_mask())
    result = drive(sample(Basic(GaussianDenoiser(), (entry(),)), SAMPLERS[name], SIGMAS, latent, seed=3))
    assert torch.allclose(result[..., 4:], latent.samples[..., 4:], atol=1e-5)
    assert not torch.allclose(result[..., :4], latent.samples[..., :4], atol=1e-1)


def test_a_mask_of_ones_changes_nothing() -> None:
    latent = torch.randn(SHAPE)
    masked = run(GaussianDenoiser(), LatentInput(latent, noise_mask=torch.ones(2, 1, 8, 8)))
    assert torch.allclose(masked, run(GaussianDenoiser(), LatentInput(latent)), atol=1e-6)


def test_a_mask_of_zeros_gives_the_original_back() -> None:
    latent = torch.randn(SHAPE)
    masked = run(GaussianDenoiser(), LatentInput(latent, noise_mask=torch.zeros(2, 1, 8, 8)))
    assert torch.allclose(masked, latent, atol=1e-6)


def test_kept_places_are_shown_to_the_network_at_the_noise_of_the_moment() -> None:
    latent = torch.randn(SHAPE)
    flow = sample(
        Basic(GaussianDenoiser(), (entry(),)), SAMPLERS["euler"], SIGMAS, LatentInput(latent, half_mask()), seed=3
    )
    group = next(flow)
    group = flow.send(answer(group))
    kept = latent + initial_noise(SHAPE, 3) * SIGMAS[1]
    assert torch.allclose(group.requests[0].x[..., 4:], kept[..., 4:])
    flow.close()


def test_ddim_draws_noise_of_its_own_for_kept_places() -> None:
    latent = torch.randn(SHAPE)
    flow = sample(
        Basic(GaussianDenoiser(), (entry(),)), SAMPLERS["ddim"], SIGMAS[1:], LatentInput(latent, half_mask()), seed=3
    )
    kept = latent + initial_noise(SHAPE, 4) * SIGMAS[1]
    assert torch.allclose(next(flow).requests[0].x[..., 4:], kept[..., 4:])
    flow.close()


# ------------------------------------------------------------------ progress

CHOOSING_THEIR_OWN_LEVELS = ("dpm_adaptive", "dpm_fast")


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_every_step_is_reported_once_and_in_order(name: str) -> None:
    steps: list[Step] = []
    guider = Basic(GaussianDenoiser(), (entry(),))
    drive(sample(guider, SAMPLERS[name], SIGMAS, empty(), seed=3, on_step=steps.append))
    numbers = [step.number for step in steps]
    if name in CHOOSING_THEIR_OWN_LEVELS:
        assert numbers == sorted(set(numbers))
        assert numbers[-1] == 4
    else:
        assert numbers == [1, 2, 3, 4]
    assert {step.total for step in steps} == {4}
    assert all(step.denoised.shape == SHAPE for step in steps)


def test_an_exception_from_the_reporter_ends_the_run() -> None:
    def stop(step: Step) -> None:
        raise KeyboardInterrupt

    flow = sample(Basic(GaussianDenoiser(), (entry(),)), SAMPLERS["euler"], SIGMAS, empty(), seed=3, on_step=stop)
    with pytest.raises(KeyboardInterrupt):
        drive(flow)


# ------------------------------------------------------------------ forwards


@pytest.mark.parametrize(
    ("name", "evaluations"), [("euler", 4), ("heun", 7), ("dpmpp_2m", 4), ("dpm_2", 7), ("dpmpp_sde", 7), ("lcm", 4)]
)
def test_a_sampler_asks_as_often_as_its_method_says(name: str, evaluations: int) -> None:
    denoiser = GaussianDenoiser()
    drive(sample(Basic(denoiser, (entry(),)), SAMPLERS[name], SIGMAS, empty(), seed=3))
    assert len(denoiser.forwards) == evaluations


def test_guidance_pulls_the_result_past_the_positive_side() -> None:
    denoiser = GaussianDenoiser(std=0.0)
    guider = Cfg(denoiser, (entry(1.0),), (entry(0.0),), 3.0)
    result = drive(sample(guider, SAMPLERS["euler"], SIGMAS, empty(), seed=3))
    assert torch.allclose(result, torch.full(SHAPE, 3.0), atol=1e-4)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_schedules_of_one_two_and_three_steps_give_finite_latents(name: str, steps: int) -> None:
    denoiser = GaussianDenoiser()
    sampler = SAMPLERS[name]
    sigmas = discretize(
        "normal", denoiser.parameterization.sigma_table, steps, drops_penultimate=sampler.drops_penultimate
    )
    result = drive(sample(Basic(denoiser, (entry(),)), sampler, sigmas, empty(), seed=3))
    assert bool(result.isfinite().all())


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_every_sampler_runs_on_a_rectified_flow(name: str) -> None:
    denoiser = GaussianDenoiser(is_flow=True)
    sigmas = discretize("simple", denoiser.parameterization.sigma_table, 6)
    result = drive(sample(Basic(denoiser, (entry(),)), SAMPLERS[name], sigmas, empty(), seed=3))
    assert bool(result.isfinite().all())


# ------------------------------------------------------------------ predictions


@pytest.mark.parametrize("prediction", [EpsPrediction(), FlowPrediction()])
def test_adding_noise_then_subtracting_the_true_prediction_is_the_original(prediction: object) -> None:
    latent, noise = torch.randn(SHAPE), torch.randn(SHAPE)
    sigma = 0.6
    x = prediction.add_noise(latent, noise, sigma)
    factors = prediction.factors(torch.full((2, 1, 1, 1), sigma))
    output = noise if isinstance(prediction, EpsPrediction) else noise - latent
    assert torch.allclose(x * factors.c_skip + output * factors.c_out, latent, atol=1e-6)
