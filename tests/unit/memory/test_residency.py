"""Planning where weights live, from sizes alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.errors import OutOfMemory
from engine.memory.residency import LayerSizes, MemoryMode, Placement, plan_residency


def half(name: str, stored: int, **options: bool) -> LayerSizes:
    """A layer stored in half precision, computed in single."""
    return LayerSizes(name, stored, 2 * stored, needs_cast=True, **options)


def plan(layers: list[LayerSizes], budget: int, *, host: bool = True, repeats: bool = True, mode: str = "keep"):
    return plan_residency(
        layers, budget_bytes=budget, host_is_device=host, repeats=repeats, mode=MemoryMode(mode), what="toy"
    )


def test_on_the_host_weights_stored_in_the_compute_dtype_are_used_where_they_are() -> None:
    made = plan([LayerSizes("a", 100, 100), LayerSizes("b", 50, 50)], budget=0)
    assert set(made.placements.values()) == {Placement.MAPPED}
    assert made.peak_bytes == 0
    assert made.moved_bytes == 0


def test_a_network_that_repeats_keeps_cast_copies_when_they_fit() -> None:
    made = plan([half("a", 100), half("b", 50)], budget=300)
    assert set(made.placements.values()) == {Placement.RESIDENT}
    assert (made.resident_bytes, made.scratch_bytes, made.moved_bytes) == (300, 0, 0)


def test_a_network_that_runs_once_keeps_nothing_on_the_host() -> None:
    made = plan([half("a", 100), half("b", 50)], budget=10_000, repeats=False)
    assert set(made.placements.values()) == {Placement.CAST_ON_USE}
    assert (made.resident_bytes, made.scratch_bytes, made.moved_bytes) == (0, 200, 150)


def test_what_does_not_fit_is_cast_as_it_is_used() -> None:
    made = plan([half("a", 100), half("b", 100), half("c", 10)], budget=330)
    assert made.placements == {"a": Placement.CAST_ON_USE, "b": Placement.CAST_ON_USE, "c": Placement.RESIDENT}
    assert made.peak_bytes <= 330


def test_an_accelerator_streams_what_does_not_fit() -> None:
    made = plan([LayerSizes(name, 100, 100) for name in "abcdefgh"], budget=650, host=False)
    assert sum(placement is Placement.RESIDENT for placement in made.placements.values()) == 2
    assert sum(placement is Placement.STREAMED for placement in made.placements.values()) == 6
    assert made.peak_bytes <= 650
    assert made.moved_bytes == 600


def test_an_accelerator_keeps_everything_when_there_is_room() -> None:
    made = plan([LayerSizes(name, 100, 100) for name in "abcd"], budget=400, host=False, repeats=False)
    assert set(made.placements.values()) == {Placement.RESIDENT}


def test_patched_layers_are_kept_before_others() -> None:
    made = plan([half("small", 10), half("patched", 100, is_patched=True), half("large", 110)], budget=439)
    assert made.placements["patched"] is Placement.RESIDENT
    assert made.placements["large"] is Placement.CAST_ON_USE


def test_a_patched_layer_is_never_used_from_the_file() -> None:
    made = plan([LayerSizes("a", 100, 100, is_patched=True)], budget=1000)
    assert made.placements["a"] is Placement.RESIDENT


def test_layers_that_cannot_be_streamed_stay() -> None:
    made = plan([half("root", 10, is_streamable=False), half("a", 100)], budget=230, mode="stream")
    assert made.placements == {"root": Placement.RESIDENT, "a": Placement.CAST_ON_USE}
    assert made.peak_bytes == 220


def test_a_budget_below_the_smallest_plan_is_an_error_that_says_how_much_is_needed() -> None:
    with pytest.raises(OutOfMemory, match="toy needs at least") as caught:
        plan([half("a", 100)], budget=199)
    assert caught.value.details == {"needed_bytes": 200, "budget_bytes": 199}


@given(
    sizes=st.lists(
        st.tuples(st.integers(1, 1000), st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=20
    ),
    budget=st.integers(0, 50_000),
    host=st.booleans(),
    repeats=st.booleans(),
)
def test_no_plan_exceeds_its_budget_and_every_layer_has_a_place(
    sizes: list[tuple[int, bool, bool, bool]], budget: int, host: bool, repeats: bool
) -> None:
    layers = [
        LayerSizes(
            str(index),
            size,
            2 * size if cast or narrow else size,
            needs_cast=cast or narrow,
            is_patched=patched,
            narrow_bytes=size // 2 if narrow else None,
        )
        for index, (size, cast, patched, narrow) in enumerate(sizes)
    ]
    try:
        made = plan(layers, budget, host=host, repeats=repeats)
    except OutOfMemory:
        return
    assert made.peak_bytes <= budget
    assert set(made.placements) == {layer.name for layer in layers}
    moved = sum(
        x.stored_bytes for x in layers if made.placements[x.name] in (Placement.CAST_ON_USE, Placement.STREAMED)
    )
    assert made.moved_bytes == moved
