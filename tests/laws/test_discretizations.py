"""What every schedule of noise levels must satisfy."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.errors import NodeError
from engine.diffusion.discretization.registry import DISCRETIZATIONS, discretize
from engine.diffusion.sampling import cut_sigmas
from engine.diffusion.sigma_table import DiscreteSigmaTable, FlowSigmaTable, SigmaTable, scaled_linear_betas

TABLE = DiscreteSigmaTable.from_betas(scaled_linear_betas())
TABLES = st.sampled_from([TABLE, FlowSigmaTable(), FlowSigmaTable(shift=3.0)])
NAMES = st.sampled_from(sorted(DISCRETIZATIONS))
VARYING_LENGTH = {"ddim_uniform", "beta"}
"""These pick whole training steps, so a request for many levels may give a few more or less."""


@settings(max_examples=150, deadline=None)
@given(NAMES, TABLES, st.integers(2, 60))
def test_levels_fall_strictly_to_zero_within_the_table(name: str, table: SigmaTable, steps: int) -> None:
    sigmas = discretize(name, table, steps)
    assert sigmas[-1] == 0.0
    assert all(a > b for a, b in pairwise(sigmas))
    assert sigmas[0] <= table.sigma_max * (1 + 1e-5)
    if name not in VARYING_LENGTH:
        assert len(sigmas) == steps + 1


@pytest.mark.parametrize("name", sorted(DISCRETIZATIONS))
def test_more_steps_than_the_table_has_entries_still_fall_strictly(name: str) -> None:
    sigmas = discretize(name, TABLE, 1500)
    assert all(a > b for a, b in pairwise(sigmas))


@settings(max_examples=60, deadline=None)
@given(NAMES, st.integers(1, 40), st.floats(0.05, 0.99))
def test_a_part_of_the_trajectory_is_the_end_of_a_longer_one(name: str, steps: int, denoise: float) -> None:
    part = discretize(name, TABLE, steps, denoise)
    assert part == discretize(name, TABLE, int(steps / denoise))[-(steps + 1) :]


@settings(max_examples=60, deadline=None)
@given(NAMES, st.integers(2, 40))
def test_dropping_the_penultimate_level_keeps_the_number_of_steps(name: str, steps: int) -> None:
    whole = discretize(name, TABLE, steps + 1)
    assert discretize(name, TABLE, steps, drops_penultimate=True) == (*whole[:-2], whole[-1])


@pytest.mark.parametrize("denoise", [0.0, -1.0])
def test_no_denoising_has_no_levels(denoise: float) -> None:
    assert discretize("normal", TABLE, 20, denoise) == ()


@pytest.mark.parametrize("name", sorted(DISCRETIZATIONS))
def test_one_step_goes_from_one_level_to_zero(name: str) -> None:
    sigmas = discretize(name, TABLE, 1)
    assert len(sigmas) == 2
    assert sigmas[1] == 0.0


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(NodeError, match="no scheduler named 'nope'"):
        discretize("nope", TABLE, 5)


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 30), st.data())
def test_two_runs_that_meet_at_a_step_cover_the_schedule(steps: int, data: st.DataObject) -> None:
    sigmas = discretize("karras", TABLE, steps)
    middle = data.draw(st.integers(1, steps - 1))
    first = cut_sigmas(sigmas, 0, middle, keeps_noise=True)
    second = cut_sigmas(sigmas, middle, 10_000, keeps_noise=False)
    assert (*first[:-1], *second) == sigmas


def test_a_run_that_may_not_keep_noise_ends_at_zero() -> None:
    assert cut_sigmas((3.0, 2.0, 1.0, 0.0), 0, 2, keeps_noise=False) == (3.0, 2.0, 0.0)


def test_a_run_that_starts_past_the_end_has_no_levels() -> None:
    assert cut_sigmas((3.0, 2.0, 1.0, 0.0), 3, 10, keeps_noise=False) == ()


@settings(max_examples=100, deadline=None)
@given(st.floats(0.0, 999.0))
def test_a_level_s_training_step_is_the_nearest_to_where_it_lies(place: float) -> None:
    assert abs(TABLE.timestep(TABLE.sigma_at(place)) - place) <= 0.501


def test_fractions_of_the_trajectory_run_from_above_every_level_to_zero() -> None:
    assert TABLE.sigma_at_fraction(0.0) > TABLE.sigma_max
    assert TABLE.sigma_at_fraction(1.0) == 0.0
    assert TABLE.sigma_at_fraction(0.3) > TABLE.sigma_at_fraction(0.6)


def test_tables_of_equal_levels_have_equal_identity() -> None:
    again = DiscreteSigmaTable.from_betas(scaled_linear_betas())
    assert again.identity == TABLE.identity
    assert DiscreteSigmaTable.from_betas(scaled_linear_betas(end=0.0121)).identity != TABLE.identity
