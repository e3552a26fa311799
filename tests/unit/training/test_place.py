"""Which example stands where in a run."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.training.config.error import ConfigError
from engine.training.data.collate import collate
from engine.training.data.place import Place, StepSampler, shuffled


@given(st.integers(1, 3000), st.integers(0, 2**40), st.integers(0, 50))
def test_every_epoch_visits_every_item_once(num_items: int, seed: int, epoch: int) -> None:
    assert sorted(shuffled(np.arange(num_items), num_items, seed, epoch)) == list(range(num_items))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = [tuple(shuffled(np.arange(50), 50, seed, epoch)) for seed in range(4) for epoch in range(4)]
    assert len(set(orders)) == 16


def test_neighbours_of_a_shuffled_order_are_unrelated() -> None:
    order = shuffled(np.arange(10_000), 10_000, 3, 0).astype(float)
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.05
    assert abs(np.corrcoef(order, np.arange(10_000))[0, 1]) < 0.05


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    whole = list(islice(StepSampler(10, 4, seed=5), 12))
    assert list(islice(StepSampler(10, 4, seed=5, start_step=7), 5)) == whole[7:]
    assert StepSampler(10, 4, seed=5).batch(9) == whole[9]
    assert StepSampler(10, 4, seed=6).batch(9) != whole[9]


def test_ranks_share_the_draws_of_a_step_among_them() -> None:
    one = StepSampler(30, 6, seed=1)
    two = [StepSampler(30, 3, seed=1, rank=rank, world=2) for rank in range(2)]
    for step in range(7):
        assert [place for sampler in two for place in sampler.batch(step)] == one.batch(step)


def test_draws_count_on_over_epochs() -> None:
    batch = StepSampler(3, 5, seed=0).batch(2)
    assert [place.draw for place in batch] == [10, 11, 12, 13, 14]
    assert all(0 <= place.index < 3 for place in batch)
    assert isinstance(batch[0], Place)


def test_a_source_without_items_is_refused() -> None:
    with pytest.raises(ValueError, match="0 items"):
        StepSampler(0, 4, seed=0)


def test_examples_collate_by_the_kind_of_their_values() -> None:
    batch = collate([{"image": torch.zeros(1, 2, 2), "class": i, "text": f"t{i}", "weight": 0.5} for i in range(3)])
    assert batch["image"].shape == (3, 1, 2, 2)
    assert batch["class"].tolist() == [0, 1, 2]
    assert batch["class"].dtype == torch.int64
    assert batch["text"] == ["t0", "t1", "t2"]
    assert batch["weight"].dtype == torch.float32


def test_examples_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ConfigError, match="different keys"):
        collate([{"a": 1}, {"b": 1}])
    with pytest.raises(ConfigError, match="different shapes"):
        collate([{"a": torch.zeros(1)}, {"a": torch.zeros(2)}])
