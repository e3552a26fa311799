"""Latents against those the reference saved for the same prompts and weights, at 64x64 pixels in single precision.

All cases run side by side: at this size a forward costs what reading the weights costs, however many items it holds.
"""

from __future__ import annotations

import pytest
import torch

from tests.parity.full_size_files import full_size_folder, golden_checkpoint
from tests.parity.golden_runner import CASES, GoldenRunner, relative_error, runnable, stored_latent

TOLERANCE = 2e-5
"""The reference differs from itself by 1.4e-6 with another attention kernel."""

LOOSE = {"v15_sampler_dpmpp_sde": 1e-4, "v15_sampler_dpmpp_sde_gpu": 1e-4}
"""These ask for Brownian times between levels, which round to 1e-6 differently in single and double precision."""

EVERY_DAY = (
    "v15_sampler_heun",
    "v15_sampler_euler_ancestral",
    "v15_sampler_dpmpp_2m_sde",
    "v15_sampler_uni_pc",
    "v15_sampler_lcm",
    "v15_scheduler_karras",
    "v15_scheduler_beta",
    "v15_weights",
    "v15_longprompt",
    "v15_clipskip2",
    "v15_vaeencode",
    "v15_img2img",
    "v15_noisemask",
    "v15_vaeinpaint",
    "v15_area",
    "v15_timesteprange",
    "v15_advanced_split",
)
"""One case for each part of the path; the others run with `-m thorough`."""

ALONE = "v15_sampler_euler"
TOO_LONG = "v15_sampler_dpm_adaptive"
"""Takes hundreds of evaluations, and the number of its steps hangs on rounding."""

THE_REST = sorted(case for case in CASES if runnable(case) and case not in (*EVERY_DAY, TOO_LONG))

Results = dict[str, "torch.Tensor | BaseException"]


@pytest.fixture(scope="module")
def runner(pytestconfig: pytest.Config) -> GoldenRunner:
    return GoldenRunner(golden_checkpoint(full_size_folder(pytestconfig)).parent)


@pytest.fixture(scope="module")
def results(runner: GoldenRunner) -> Results:
    return runner.latents(EVERY_DAY)


@pytest.fixture(scope="module")
def more_results(runner: GoldenRunner) -> Results:
    return runner.latents(THE_REST)


def error_of(results: Results, case: str) -> float:
    result = results[case]
    if isinstance(result, BaseException):
        raise result
    return relative_error(result, stored_latent(case))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", EVERY_DAY)
def test_a_latent_is_the_reference_s(results: Results, case: str) -> None:
    assert error_of(results, case) < TOLERANCE


@pytest.mark.thorough
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("case", THE_REST)
def test_a_latent_of_the_whole_set_is_the_reference_s(more_results: Results, case: str) -> None:
    assert error_of(more_results, case) < LOOSE.get(case, TOLERANCE)


@pytest.mark.timeout(900)
def test_a_case_run_by_itself_is_the_reference_s_too(runner: GoldenRunner) -> None:
    assert relative_error(runner.latent(ALONE), stored_latent(ALONE)) < TOLERANCE


def test_forwards_of_the_cases_were_shared(runner: GoldenRunner, results: Results) -> None:
    assert max(len(forward.jobs) for forward in runner.forwards) > len(EVERY_DAY) // 2


def test_no_case_warns_about_its_prompt(runner: GoldenRunner, results: Results) -> None:
    assert runner.ctx.warnings == []
