"""Custom sampling, guider, noise, level and sampler nodes with a network-free model."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from engine.core.errors import NodeError
from engine.diffusion.discretization.align_your_steps import ALIGNED_LEVELS
from engine.diffusion.requests import drive
from engine.diffusion.samplers.registry import SAMPLERS
from nodes.guidance import (
    adaptive_projected_guidance,
    apply_operation_to_guidance,
    cfg_norm,
    cfg_zero_star,
    differential_diffusion,
    epsilon_scaling,
    renormalise_cfg,
    rescale_cfg,
    reuse_outputs,
    tangential_damping,
)
from nodes.guiders import basic_guider, cfg_guider, dual_cfg_guider, perp_neg_guider
from nodes.latent_empty import empty_latent_image
from nodes.noise import add_noise, disable_noise, random_noise
from nodes.samplers import (
    sampler_by_name,
    sampler_ddim,
    sampler_dpm_adaptive,
    sampler_dpmpp_2m_sde,
    sampler_dpmpp_sde,
    sampler_er_sde,
    sampler_euler_ancestral,
    sampler_lms,
    sampler_plms,
    sampler_sa_solver,
)
from nodes.sampling import ksampler, sample_custom, sample_with_guider
from nodes.sigmas import (
    align_your_steps,
    basic_levels,
    beta_levels,
    extend_intermediate,
    flip,
    fraction_to_sigma,
    karras_levels,
    laplace_levels,
    manual_levels,
    set_first,
    split,
    split_by_denoise,
    turbo_levels,
)
from tests.gaussian_denoiser import EPS, GaussianDenoiser
from tests.unit.nodes.test_sampling_nodes import SamplingContext, conditioning

MODEL = GaussianDenoiser()
TABLE = EPS.sigma_table.sigmas
LATENT = empty_latent_image(64, 64, 1)


def plain(**changes: Any) -> torch.Tensor:
    arguments = {
        "model": MODEL,
        "seed": 3,
        "steps": 6,
        "cfg": 2.0,
        "sampler_name": "euler_ancestral",
        "scheduler": "karras",
        "positive": conditioning(1.0),
        "negative": conditioning(-1.0),
        "latent_image": LATENT,
        "ctx": SamplingContext(),
    }
    return drive(ksampler(**{**arguments, **changes}))["samples"]


def advanced(**changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    arguments = {
        "noise": random_noise(3),
        "guider": cfg_guider(MODEL, conditioning(1.0), conditioning(-1.0), 2.0),
        "sampler": sampler_by_name("euler_ancestral"),
        "sigmas": basic_levels(MODEL, "karras", 6),
        "latent_image": LATENT,
        "ctx": SamplingContext(),
    }
    return drive(sample_with_guider(**{**arguments, **changes}))


def custom(**changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    arguments = {
        "model": MODEL,
        "add_noise": True,
        "noise_seed": 3,
        "cfg": 2.0,
        "positive": conditioning(1.0),
        "negative": conditioning(-1.0),
        "sampler": sampler_by_name("euler_ancestral"),
        "sigmas": basic_levels(MODEL, "karras", 6),
        "latent_image": LATENT,
        "ctx": SamplingContext(),
    }
    return drive(sample_custom(**{**arguments, **changes}))


# ------------------------------------------------------------------ sampling


def test_all_ways_to_sample_give_the_same_latent() -> None:
    assert torch.equal(advanced()[0]["samples"], plain())
    assert torch.equal(custom()[0]["samples"], plain())


@pytest.mark.parametrize("name", sorted(set(SAMPLERS) - {"dpm_adaptive", "dpm_fast"}))
def test_a_selected_sampler_is_the_one_of_the_plain_node(name: str) -> None:
    levels = torch.tensor([14.6, 5.0, 2.0, 0.7, 0.1, 0.0])
    result, _ = advanced(sampler=sampler_by_name(name), sigmas=levels)
    again, _ = custom(sampler=sampler_by_name(name), sigmas=levels)
    assert torch.equal(result["samples"], again["samples"])
    assert bool(torch.isfinite(result["samples"]).all())


def test_the_second_output_is_the_last_prediction() -> None:
    levels = basic_levels(MODEL, "karras", 6)
    output, denoised = advanced(sampler=sampler_by_name("euler"), sigmas=levels[:4])
    assert float((output["samples"] - denoised["samples"]).std()) == pytest.approx(float(levels[3]), rel=0.5)
    output, denoised = advanced(sampler=sampler_by_name("euler"))
    assert torch.allclose(output["samples"], denoised["samples"], atol=1e-5)


def test_without_levels_the_latent_comes_back_twice() -> None:
    latent = {"samples": torch.randn(1, 4, 8, 8)}
    output, denoised = advanced(latent_image=latent, sigmas=torch.zeros(0))
    assert torch.equal(output["samples"], latent["samples"])
    assert torch.equal(denoised["samples"], latent["samples"])


def test_a_split_schedule_without_noise_in_between_is_the_whole_one() -> None:
    high, low = split(basic_levels(MODEL, "karras", 6), 3)
    euler = sampler_by_name("euler")
    first, _ = advanced(sampler=euler, sigmas=high)
    second, _ = advanced(sampler=euler, sigmas=low, noise=disable_noise(), latent_image=first)
    assert torch.allclose(second["samples"], advanced(sampler=euler)[0]["samples"], atol=1e-4)


def test_added_noise_is_what_a_run_would_start_from() -> None:
    levels = basic_levels(MODEL, "karras", 6)[2:]
    latent = {"samples": torch.randn(1, 4, 8, 8)}
    noisy = add_noise(MODEL, random_noise(3), levels, latent)
    euler = sampler_by_name("euler")
    later, _ = advanced(sampler=euler, sigmas=levels, noise=disable_noise(), latent_image=noisy)
    at_once, _ = advanced(sampler=euler, sigmas=levels, latent_image=latent)
    assert torch.allclose(later["samples"], at_once["samples"], atol=1e-5)


def test_flipped_levels_take_a_latent_back_to_its_noise() -> None:
    levels = torch.tensor([10.0 * 0.001 ** (step / 400) for step in range(401)])
    guider = basic_guider(MODEL, conditioning(0.5))
    start = torch.randn(1, 4, 8, 8) * 10
    euler = sampler_by_name("euler")
    clean, _ = advanced(
        guider=guider, sampler=euler, sigmas=levels, noise=disable_noise(), latent_image={"samples": start}
    )
    back, _ = advanced(guider=guider, sampler=euler, sigmas=flip(levels), noise=disable_noise(), latent_image=clean)
    assert torch.allclose(back["samples"], start, rtol=0.05, atol=0.1)


def test_every_step_of_a_flipped_run_is_reported_in_order() -> None:
    ctx = SamplingContext()
    advanced(sampler=sampler_by_name("euler"), sigmas=flip(torch.tensor([5.0, 1.0, 0.2, 0.0])), ctx=ctx)
    assert ctx.progressed == [(1, 3), (2, 3), (3, 3)]


def test_a_missing_model_is_a_clear_error() -> None:
    with pytest.raises(NodeError, match="model"):
        custom(model=None)


def test_noise_values_have_a_seed_and_make_noise_for_a_latent() -> None:
    latent = {"samples": torch.zeros(1, 4, 8, 8), "batch_index": [2]}
    drawn = torch.randn(1, 4, 8, 8, generator=(generator := torch.Generator().manual_seed(7)))
    for _ in range(2):
        drawn = torch.randn(1, 4, 8, 8, generator=generator)
    assert random_noise(7).seed == 7
    assert torch.equal(random_noise(7).generate_noise(latent), drawn)
    assert not disable_noise().generate_noise(latent).any()


def test_other_guiders_run() -> None:
    dual = dual_cfg_guider(
        model=MODEL,
        cond1=conditioning(1.0),
        cond2=conditioning(0.5),
        negative=conditioning(-1.0),
        cfg_conds=2.0,
        cfg_cond2_negative=1.5,
        style="regular",
    )
    perpendicular = perp_neg_guider(MODEL, conditioning(1.0), conditioning(-1.0), conditioning(0.0), 2.0, 1.0)
    results = [advanced(guider=guider)[0]["samples"] for guider in (dual, perpendicular)]
    # The mean of the data is linear in guidance: -1 + 1.5·1.5 + 2·0.5; the negative side is all along the positive one.
    assert float(results[0].mean()) == pytest.approx(2.25, abs=0.3)
    assert float(results[1].mean()) == pytest.approx(2.0, abs=0.3)


# ------------------------------------------------------------------ levels


def test_levels_are_single_precision_tensors() -> None:
    assert karras_levels(5).dtype == torch.float32
    assert karras_levels(5).shape == (6,)


def test_turbo_levels_are_every_hundredth_training_step() -> None:
    assert torch.allclose(turbo_levels(MODEL, 2), torch.stack([TABLE[999], TABLE[899], torch.tensor(0.0)]))
    assert torch.allclose(
        turbo_levels(MODEL, 10, 0.5), torch.tensor([*(TABLE[s] for s in (499, 399, 299, 199, 99)), 0])
    )


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        ("SD1", (999, 850, 736, 645, 545, 455, 343, 233, 124, 24, 0)),
        ("SDXL", (999, 845, 730, 587, 443, 310, 193, 116, 53, 13, 0)),
    ],
)
def test_aligned_levels_are_the_published_training_steps(kind: str, steps: tuple[int, ...]) -> None:
    wanted = torch.stack([TABLE[step] for step in steps])
    assert torch.allclose(torch.tensor(ALIGNED_LEVELS[kind]), wanted, rtol=1e-6)
    assert torch.allclose(align_your_steps(kind, 10)[:-1], wanted[:-1], rtol=1e-6)
    assert float(align_your_steps(kind, 10)[-1]) == 0.0


def test_aligned_levels_for_other_steps_lie_on_the_same_curve() -> None:
    twenty = align_your_steps("SD1", 20)
    assert torch.allclose(twenty[:-1:2], torch.tensor(ALIGNED_LEVELS["SD1"][:-1]), rtol=1e-6)
    assert float(twenty[1]) == pytest.approx(math.sqrt(float(twenty[0] * twenty[2])), rel=1e-6)
    assert torch.equal(align_your_steps("SD1", 20, 0.25), twenty[-6:])
    assert len(align_your_steps("SD1", 20, 0.0)) == 0


def test_laplace_levels_are_symmetric_in_log_sigma_around_mu() -> None:
    levels = laplace_levels(9, 1000.0, 0.0001, 0.4, 0.5)
    assert len(levels) == 9
    logs = levels.log() - 0.4
    assert torch.allclose(logs, -logs.flip(0), atol=1e-4)
    assert bool((levels.diff() < 0).all())
    assert float(laplace_levels(9)[0]) == pytest.approx(14.614642)


def test_beta_levels_are_those_of_the_scheduler_at_its_shapes() -> None:
    assert torch.equal(beta_levels(MODEL, 12), basic_levels(MODEL, "beta", 12))
    assert not torch.equal(beta_levels(MODEL, 12, 1.0, 1.0), basic_levels(MODEL, "beta", 12))


@pytest.mark.parametrize("denoise", [0.0, 0.3, 0.5, 1.0])
def test_halves_of_a_schedule_meet_in_one_level(denoise: float) -> None:
    levels = karras_levels(10)
    high, low = split_by_denoise(levels, denoise)
    assert len(low) == round(10 * denoise) + 1
    assert torch.equal(torch.cat([high, low[1:]]), levels)


def test_a_first_level_is_replaced_in_a_copy() -> None:
    levels = karras_levels(4)
    assert float(set_first(levels, 20.0)[0]) == 20.0
    assert float(levels[0]) == pytest.approx(14.614642)


def test_flipping_puts_something_in_place_of_a_first_zero() -> None:
    levels = torch.tensor([2.0, 1.0, 0.0])
    assert flip(levels).tolist() == pytest.approx([1e-4, 1.0, 2.0])
    assert levels.tolist() == [2.0, 1.0, 0.0]


def test_steps_above_a_level_are_divided() -> None:
    levels = torch.tensor([16.0, 14.0, 10.0, 0.0])
    extended = extend_intermediate(sigmas=levels, steps=2, start_at_sigma=-1.0, end_at_sigma=12.0, spacing="linear")
    assert extended.tolist() == [16.0, 15.0, 14.0, 12.0, 10.0, 0.0]
    below = extend_intermediate(sigmas=levels, steps=2, start_at_sigma=14.0, end_at_sigma=12.0, spacing="sine")
    assert below.tolist() == pytest.approx([16.0, 14.0, 14.0 - 4 * (1 - math.cos(math.pi / 4)), 10.0, 0.0])


def test_a_part_of_the_trajectory_is_a_level() -> None:
    assert fraction_to_sigma(MODEL, 0.5) == pytest.approx(EPS.sigma_table.sigma_at_fraction(0.5))
    assert fraction_to_sigma(MODEL, 0.0) == 999999999.9
    assert fraction_to_sigma(MODEL, 1.0) == 0.0
    assert fraction_to_sigma(MODEL, 0.0, True) == pytest.approx(float(TABLE[-1]))
    assert fraction_to_sigma(MODEL, 1.0, True) == pytest.approx(float(TABLE[0]))


# ------------------------------------------------------------------ samplers


def run(sampler: Any) -> torch.Tensor:
    return advanced(sampler=sampler, sigmas=torch.tensor([14.6, 8.0, 4.0, 2.0, 1.0, 0.5, 0.0]))[0]["samples"]


def test_settings_at_their_usual_values_are_the_named_samplers() -> None:
    pairs = [
        (sampler_euler_ancestral(), "euler_ancestral"),
        (sampler_lms(), "lms"),
        (sampler_dpmpp_sde(noise_device="gpu"), "dpmpp_sde"),
        (sampler_dpmpp_2m_sde(solver_type="heun", noise_device="cpu"), "dpmpp_2m_sde_heun"),
        (sampler_er_sde(solver_type="ER-SDE"), "er_sde"),
        (sampler_sa_solver(model=MODEL, use_pece=False, simple_order_2=False), "sa_solver"),
        (sampler_sa_solver(model=MODEL, use_pece=True, simple_order_2=False), "sa_solver_pece"),
        (sampler_dpm_adaptive(), "dpm_adaptive"),
        (sampler_ddim(), "ddim"),
    ]
    for sampler, name in pairs:
        assert torch.equal(run(sampler), run(sampler_by_name(name))), name


def test_the_noise_free_kinds_of_er_sde_are_one() -> None:
    ode = run(sampler_er_sde(solver_type="ODE"))
    assert torch.equal(ode, run(sampler_er_sde(solver_type="Reverse-time SDE", eta=0.0)))
    assert not torch.equal(ode, run(sampler_er_sde(solver_type="Reverse-time SDE", eta=1.0)))


@pytest.mark.parametrize("corrector_order", [0, 1, 2, 4])
def test_sa_solver_runs_with_any_orders(corrector_order: int) -> None:
    sampler = sampler_sa_solver(
        model=MODEL,
        eta=0.0,
        predictor_order=2,
        corrector_order=corrector_order,
        use_pece=corrector_order == 2,
        simple_order_2=True,
    )
    assert float((run(sampler) - run(sampler_by_name("heun"))).abs().max()) < 1.0


def test_plms_and_adaptive_noise_run_to_the_end() -> None:
    assert float((run(sampler_plms()) - run(sampler_by_name("heun"))).abs().max()) < 1.0
    noisy = sampler_dpm_adaptive(eta=1.0)
    assert bool(torch.isfinite(run(noisy)).all())
    assert not torch.equal(run(noisy), run(sampler_dpm_adaptive()))


# ------------------------------------------------------------------ rules


def test_each_rule_is_added_to_a_new_handle_and_changes_the_picture() -> None:
    reference = plain()
    handles = [
        rescale_cfg(MODEL),
        cfg_zero_star(MODEL),
        cfg_norm(MODEL),
        tangential_damping(MODEL),
        adaptive_projected_guidance(MODEL),
        epsilon_scaling(MODEL),
        renormalise_cfg(MODEL),
        reuse_outputs(MODEL, 1.0, 0.0, 1.0),
        apply_operation_to_guidance(MODEL, lambda latent: latent * 2),
    ]
    assert all(handle.identity == MODEL.identity for handle in handles)
    assert not any(torch.equal(plain(model=handle), reference) for handle in handles)
    assert torch.equal(plain(), reference)


def test_written_levels_are_taken_as_they_are_and_texts_without_any_are_refused() -> None:
    assert manual_levels("1., 0.978453,.5\n1e-3 0").tolist() == pytest.approx([1.0, 0.978453, 0.5, 0.001, 0.0])
    for text in ("", "karras", "1e999"):
        with pytest.raises(NodeError, match="no noise levels"):
            manual_levels(text)


def test_differential_diffusion_counts_only_with_a_mask() -> None:
    handle = differential_diffusion(MODEL)
    assert torch.equal(plain(model=handle), plain())
    masked = {"samples": torch.ones(1, 4, 8, 8), "noise_mask": torch.linspace(0, 1, 8).expand(1, 1, 8, 8)}
    assert not torch.equal(plain(model=handle, latent_image=masked), plain(latent_image=masked))
