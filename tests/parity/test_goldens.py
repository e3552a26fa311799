"""Latents against those the reference saved for the same prompts and weights, at 64x64 pixels in single precision."""

from __future__ import annotations

import pytest
import torch

from tests.parity.golden_runner import (
    CASES,
    GoldenRunner,
    ensure_checkpoint,
    relative_error,
    runnable,
    stored_latent,
)

TOLERANCE = 1e-4
"""The reference differs from itself by 1.4e-6 with another attention kernel; Brownian times are rounded to 1e-6."""

EVERY_DAY = (
    "v15_sampler_heun",
    "v15_sampler_euler_ancestral",
    "v15_sampler_dpmpp_2m_sde",
    "v15_sampler_lcm",
    "v15_scheduler_karras",
    "v15_weights",
    "v15_longprompt",
    "v15_clipskip2",
    "v15_vaeencode",
    "v15_img2img",
    "v15_noisemask",
    "v15_area",
    "v15_advanced_split",
)
"""One case for each part of the path; the others run with the marker `slow`."""

THE_REST = sorted(case for case in CASES if runnable(case) and case not in EVERY_DAY)


@pytest.fixture(scope="module")
def runner(pytestconfig: pytest.Config) -> GoldenRunner:
    folder = pytestconfig.cache.mkdir("golden-checkpoints")
    ensure_checkpoint(folder)
    return GoldenRunner(folder)


@pytest.mark.parametrize("case", EVERY_DAY)
def test_a_latent_is_the_reference_s(runner: GoldenRunner, case: str) -> None:
    assert relative_error(runner.latent(case), stored_latent(case)) < TOLERANCE


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", THE_REST)
def test_a_latent_of_the_whole_set_is_the_reference_s(runner: GoldenRunner, case: str) -> None:
    assert relative_error(runner.latent(case), stored_latent(case)) < TOLERANCE


def test_cases_that_run_side_by_side_agree_with_the_reference_too(runner: GoldenRunner) -> None:
    cases = ["v15_scheduler_normal", "v15_scheduler_exponential"]
    for case, latent in zip(cases, runner.latents(cases), strict=True):
        assert relative_error(latent, stored_latent(case)) < TOLERANCE


def test_no_case_warns_about_its_prompt(runner: GoldenRunner) -> None:
    with torch.inference_mode():
        runner.latent("v15_vaeencode")
    assert runner.ctx.warnings == []
