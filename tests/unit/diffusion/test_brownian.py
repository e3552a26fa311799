from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.diffusion.brownian import BrownianPath

TIMES = st.floats(0.03, 14.6, allow_nan=False)


def make(seed: int = 9) -> BrownianPath:
    return BrownianPath(0.03, 14.6, (2, 3), seed)


@settings(max_examples=40, deadline=None)
@given(st.lists(TIMES, min_size=2, max_size=6))
@example([8.0, 14.6])
def test_the_path_does_not_depend_on_the_order_of_queries(times: list[float]) -> None:
    forward, backward = make(), make()
    values = [forward.at(time) for time in times]
    for time, value in zip(reversed(times), reversed(values), strict=True):
        assert torch.equal(backward.at(time), value)


@settings(max_examples=40, deadline=None)
@given(TIMES, TIMES, TIMES)
def test_increments_add_up(first: float, second: float, third: float) -> None:
    path = make()
    whole = path.increment(first, third)
    assert torch.allclose(path.increment(first, second) + path.increment(second, third), whole)


def test_the_path_starts_at_zero_and_times_outside_are_its_ends() -> None:
    path = make()
    assert torch.equal(path.at(0.03), torch.zeros(2, 3, dtype=torch.float64))
    assert torch.equal(path.at(-1.0), path.at(0.03))
    assert torch.equal(path.at(99.0), path.at(14.6))


def test_the_variance_of_an_increment_is_its_length() -> None:
    path = BrownianPath(0.0, 4.0, (100_000,), 1)
    assert float(path.increment(1.3, 1.8).var()) == pytest.approx(0.5, rel=0.02)


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ValueError, match="start < end"):
        BrownianPath(1.0, 1.0, (1,), 0)
