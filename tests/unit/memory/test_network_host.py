"""Loading networks within a budget: same numbers whatever the plan, least recently used out first."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engine.core.errors import OutOfMemory
from engine.memory.device import cpu_device
from engine.memory.network import NetworkHost
from engine.memory.residency import MemoryMode, Placement
from engine.weights.patches import NO_PATCHES, PatchSet
from tests.chain_network import LAYER_BYTES, PATCHES, WIDTH, X, chain, expected


def host(budget: int, mode: MemoryMode = MemoryMode.KEEP) -> NetworkHost:
    return NetworkHost(cpu_device(), budget, mode=mode)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("budget", [1 << 30, 3 * LAYER_BYTES, LAYER_BYTES + 4 * WIDTH])
@pytest.mark.parametrize("mode", list(MemoryMode))
@pytest.mark.parametrize("patches", [NO_PATCHES, PATCHES])
def test_every_plan_computes_the_same_numbers(
    dtype: torch.dtype, budget: int, mode: MemoryMode, patches: PatchSet
) -> None:
    source = chain(dtype=dtype)
    runner = host(budget, mode)
    for _ in range(2):
        found = runner.run(source, lambda network: network(X), patches=patches)
        assert torch.equal(found, expected(source, X, patches))
        assert runner.resident_bytes <= budget


def test_cast_copies_are_kept_when_they_fit_and_made_again_when_not() -> None:
    source, weights = chain(), None
    weights = source.weights
    rich = host(1 << 30)
    for _ in range(3):
        rich.run(source, lambda network: network(X))
    assert set(weights.reads.values()) == {1}  # type: ignore[attr-defined]
    source = chain()
    poor = host(LAYER_BYTES + 4 * WIDTH)
    for _ in range(3):
        poor.run(source, lambda network: network(X))
    assert source.weights.reads["layers.2.weight"] == 3  # type: ignore[attr-defined]
    assert poor.resident_bytes == 4 * WIDTH


def test_weights_in_the_compute_dtype_are_used_without_a_copy() -> None:
    source = chain(dtype=torch.float32)
    runner = host(0)

    def same_memory(network: nn.Module) -> bool:
        stored = source.weights.tensors["layers.0.weight"]  # type: ignore[attr-defined]
        return network.layers[0].weight.data_ptr() == stored.data_ptr()

    assert runner.run(source, same_memory)
    assert runner.resident_bytes == 0


def test_a_patch_never_changes_the_stored_weight_and_comes_off_again() -> None:
    source = chain(dtype=torch.float32)
    before = {name: tensor.clone() for name, tensor in source.weights.tensors.items()}  # type: ignore[attr-defined]
    runner = host(1 << 30)
    plain = runner.run(source, lambda network: network(X))
    patched = runner.run(source, lambda network: network(X), patches=PATCHES)
    again = runner.run(source, lambda network: network(X))
    assert not torch.equal(plain, patched)
    assert torch.equal(plain, again)
    for name, tensor in before.items():
        assert torch.equal(tensor, source.weights.tensors[name])  # type: ignore[attr-defined]


def test_putting_a_patch_on_prepares_only_the_weights_it_changes() -> None:
    source = chain()
    runner = host(1 << 30)
    runner.run(source, lambda network: network(X))
    runner.run(source, lambda network: network(X), patches=PATCHES)
    reads = source.weights.reads  # type: ignore[attr-defined]
    assert {name for name, count in reads.items() if count == 2} == {"layers.1.weight"}


def test_the_least_recently_used_network_makes_room() -> None:
    sources = [chain(identity=str(number)) for number in range(3)]
    whole = 4 * LAYER_BYTES + 4 * WIDTH
    runner = host(2 * whole)
    for number in (0, 1, 0, 2):
        runner.run(sources[number], lambda network: network(X))
    assert [runner.plan_of(source) is not None for source in sources] == [True, False, True]
    assert runner.resident_bytes == 2 * whole


def test_activations_count_towards_the_budget() -> None:
    source = chain()
    whole = 4 * LAYER_BYTES + 4 * WIDTH
    runner = host(whole + 1000)
    runner.run(source, lambda network: network(X), activation_bytes=1000)
    plan = runner.plan_of(source)
    assert plan is not None
    assert set(plan.placements.values()) == {Placement.RESIDENT}
    runner.run(source, lambda network: network(X), activation_bytes=1000 + LAYER_BYTES)
    plan = runner.plan_of(source)
    assert plan is not None
    assert Placement.CAST_ON_USE in plan.placements.values()


def test_the_ledger_knows_the_most_a_thread_s_forwards_held_until_it_is_asked() -> None:
    source, runner = chain(), host(1 << 30)
    whole = 4 * LAYER_BYTES + 4 * WIDTH
    runner.run(source, lambda network: network(X), activation_bytes=1000)
    runner.run(source, lambda network: network(X), activation_bytes=10)
    assert (runner.ledger.take_held(), runner.ledger.take_held()) == (whole + 1000, 0)
    runner.run(source, lambda network: network(X), activation_bytes=1_000_000, shape=("x",))
    assert whole < runner.ledger.take_held() < whole + 1_000_000  # as it was measured


def test_a_failed_allocation_is_answered_by_unloading_then_streaming() -> None:
    source, other = chain(), chain(identity="other")
    runner = host(1 << 30)
    runner.run(other, lambda network: network(X))
    seen: list[tuple[bool, int]] = []

    def forward(network: nn.Module) -> torch.Tensor:
        seen.append((runner.plan_of(other) is not None, runner.resident_bytes))
        if len(seen) < 3:
            raise torch.OutOfMemoryError("no memory")
        return network(X)

    assert torch.equal(runner.run(source, forward), expected(source, X))
    whole = 4 * LAYER_BYTES + 4 * WIDTH
    assert seen == [(True, 2 * whole), (False, whole), (False, 4 * WIDTH)]


def test_running_out_of_memory_for_good_is_a_typed_error_and_the_host_goes_on() -> None:
    source = chain()
    runner = host(1 << 30)

    def forward(network: nn.Module) -> torch.Tensor:
        raise torch.OutOfMemoryError("no memory")

    with pytest.raises(OutOfMemory, match="even with its weights streamed"):
        runner.run(source, forward)
    assert torch.equal(runner.run(source, lambda network: network(X)), expected(source, X))


def test_other_errors_pass_through_and_leave_no_weights_behind_in_streamed_layers() -> None:
    source = chain()
    runner = host(LAYER_BYTES + 4 * WIDTH)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        runner.run(source, lambda network: network(torch.zeros(1, 3)))
    assert torch.equal(runner.run(source, lambda network: network(X)), expected(source, X))


def test_a_budget_that_is_too_small_is_refused_before_anything_is_loaded() -> None:
    source = chain()
    with pytest.raises(OutOfMemory, match="needs at least"):
        host(LAYER_BYTES // 2).run(source, lambda network: network(X))
    assert set(source.weights.reads.values()) == {0}  # type: ignore[attr-defined]


def test_freeing_unloads_and_running_loads_again() -> None:
    source = chain()
    runner = host(1 << 30)
    runner.run(source, lambda network: network(X))
    runner.free()
    assert runner.resident_bytes == 0
    assert runner.plan_of(source) is None
    assert torch.equal(runner.run(source, lambda network: network(X)), expected(source, X))


def test_as_many_items_are_run_at_once_as_fit() -> None:
    runner = host(1000)
    assert [runner.max_batch(100, wanted) for wanted in (4, 10, 64)] == [4, 10, 10]
    assert runner.max_batch(5000, 8) == 1


def test_a_forward_makes_tensors_that_may_be_changed() -> None:
    found = host(1 << 30).run(chain(), lambda network: network(X))
    assert not found.requires_grad
    found += 1
