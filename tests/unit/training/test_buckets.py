"""Aspect-ratio buckets: their sizes, and batches as a function of the step."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.training.data.buckets import BucketRecipe, BucketSampler, bucket_sizes, nearest_bucket

SIZES = bucket_sizes(1024, BucketRecipe())


@given(st.integers(64, 2048), st.sampled_from([8, 16, 32, 64]), st.floats(1.0, 4.0))
def test_every_bucket_has_multiples_as_sides_the_same_area_and_its_mirror(
    size: int, multiple: int, max_aspect: float
) -> None:
    sizes = bucket_sizes(size, BucketRecipe(multiple, max_aspect))
    assert len(set(sizes)) == len(sizes)
    for height, width in sizes:
        assert height % multiple == width % multiple == 0
        assert max(height, width) <= max_aspect * min(height, width)
        assert (width, height) in sizes
        if height != width:
            assert abs(height * width - size * size) <= min(height, width) * multiple / 2
    squares = [height for height, width in sizes if height == width]
    assert len(squares) == 1
    assert abs(squares[0] - size) <= multiple / 2


def test_the_buckets_of_sdxl_are_among_those_of_1024_pixels() -> None:
    published = {(512, 2048), (704, 1472), (768, 1344), (832, 1280), (896, 1152), (1024, 1024), (1152, 896)}
    near = {(height, round(1024 * 1024 / height / 64) * 64) for height, _ in published}
    assert near - set(SIZES) == set()
    assert {(512, 2048), (896, 1152), (1024, 1024), (1152, 896), (768, 1344), (1344, 768)} <= set(SIZES)


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_no_bucket_is_nearer_in_aspect_than_the_chosen_one(height: int, width: int) -> None:
    def distance(number: int) -> float:
        return abs(math.log(height / width) - math.log(SIZES[number][0] / SIZES[number][1]))

    chosen = nearest_bucket(height, width, SIZES)
    assert distance(chosen) == min(map(distance, range(len(SIZES))))


@given(
    st.lists(st.integers(0, 23), min_size=1, max_size=4).filter(any),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(0, 3),
)
def test_batches_never_mix_buckets_and_an_epoch_visits_every_item(
    lengths: list[int], batch_size: int, world: int, seed: int
) -> None:
    starts = [sum(lengths[:n]) for n in range(len(lengths))]
    buckets = [range(start, start + length) for start, length in zip(starts, lengths, strict=True)]
    home = {item: number for number, bucket in enumerate(buckets) for item in bucket}
    ranks = [BucketSampler(buckets, batch_size, seed, rank=rank, world=world) for rank in range(world)]
    for epoch in range(2):
        visits: Counter[int] = Counter()
        for step in range(epoch * ranks[0].num_steps, (epoch + 1) * ranks[0].num_steps):
            places = [place for sampler in ranks for place in sampler.batch(step)]
            assert len({home[place.index] for place in places}) == 1
            first = step * world * batch_size
            assert [place.draw for place in places] == list(range(first, first + world * batch_size))
            visits.update(place.index for place in places)
        assert visits.keys() == home.keys()
        for number, length in enumerate(lengths):
            filled = -(-length // (batch_size * world)) * batch_size * world
            assert sum(visits[item] for item in buckets[number]) == filled


def test_a_sampler_that_starts_at_a_step_goes_on_as_one_that_came_there() -> None:
    buckets = [range(0, 7), range(7, 20)]
    whole = iter(BucketSampler(buckets, 4, seed=3))
    for _ in range(9):
        next(whole)
    late = iter(BucketSampler(buckets, 4, seed=3, start_step=9))
    assert [next(late) for _ in range(12)] == [next(whole) for _ in range(12)]


def test_two_epochs_and_two_seeds_have_different_orders() -> None:
    def epoch(seed: int, number: int) -> list[list[int]]:
        sampler = BucketSampler([range(0, 40), range(40, 80)], 4, seed)
        steps = range(number * sampler.num_steps, (number + 1) * sampler.num_steps)
        return [[place.index for place in sampler.batch(step)] for step in steps]

    assert epoch(0, 0) == epoch(0, 0)
    assert epoch(0, 0) != epoch(0, 1)
    assert epoch(0, 0) != epoch(1, 0)


def test_buckets_without_items_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be made from 0 buckets"):
        BucketSampler([[], []], 4, seed=0)
