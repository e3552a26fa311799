"""Streaming layer by layer to a device with memory of its own, played by the CPU without streams."""

from __future__ import annotations

import pytest
import torch

from engine.memory.network import NetworkHost
from engine.memory.residency import MemoryMode, Placement
from engine.memory.transfer import Prefetcher
from engine.weights.patches import NO_PATCHES, PatchSet
from tests.chain_network import LAYER_BYTES, PATCHES, WIDTH, MemoryWeights, X, chain, expected
from tests.separate_device import SeparateDevice

DEVICE = SeparateDevice("cpu")
KEPT = 4 * WIDTH


def as_float32(name: str, weight: torch.Tensor) -> torch.Tensor:
    return weight.to(torch.float32)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("mode", list(MemoryMode))
@pytest.mark.parametrize("budget", [1 << 30, 5 * LAYER_BYTES])
@pytest.mark.parametrize("patches", [NO_PATCHES, PATCHES])
def test_streamed_weights_give_the_same_numbers(
    dtype: torch.dtype, mode: MemoryMode, budget: int, patches: PatchSet
) -> None:
    source = chain(8, dtype)
    runner = NetworkHost(DEVICE, budget, mode=mode)
    for _ in range(3):
        found = runner.run(source, lambda network: network(X), patches=patches)
        assert torch.equal(found, expected(source, X, patches))
    plan = runner.plan_of(source)
    assert plan is not None
    assert plan.peak_bytes <= budget
    assert (Placement.STREAMED in plan.placements.values()) == (mode is MemoryMode.STREAM or budget < 1 << 30)


def test_each_streamed_layer_is_copied_once_a_forward() -> None:
    source = chain(8)
    runner = NetworkHost(DEVICE, 1 << 30, mode=MemoryMode.STREAM)
    for _ in range(3):
        runner.run(source, lambda network: network(X))
    reads = source.weights.reads  # type: ignore[attr-defined]
    # The layer that begins the next forward is on its way when a forward ends.
    assert reads["layers.0.weight"] == 4
    assert {reads[f"layers.{number}.weight"] for number in range(1, 8)} == {3}
    assert reads["shift"] == 1


def test_the_next_layer_is_on_its_way_once_the_order_is_known() -> None:
    weights = MemoryWeights(3, torch.float16)
    layers = {f"layers.{n}": (f"layers.{n}.weight", f"layers.{n}.bias") for n in range(3)}
    prefetcher = Prefetcher(weights, DEVICE, as_float32, layers)
    for number in range(3):
        prefetcher.take(f"layers.{number}")
    assert list(weights.reads.values()) == [0, 1, 1, 1, 1, 1, 1]
    found = prefetcher.take("layers.0")
    assert weights.reads["layers.1.weight"] == 2
    assert found["layers.0.weight"].dtype is torch.float32
    prefetcher.take("layers.2")
    prefetcher.take("layers.1")
    assert weights.reads["layers.1.weight"] == 3


def test_streamed_weights_are_private_copies() -> None:
    weights = MemoryWeights(1, torch.float32)
    prefetcher = Prefetcher(weights, DEVICE, as_float32, {"layers.0": ("layers.0.weight",)})
    prefetcher.take("layers.0")["layers.0.weight"].zero_()
    assert bool(weights.tensors["layers.0.weight"].any())
