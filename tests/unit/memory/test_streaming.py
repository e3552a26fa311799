"""Streaming layer by layer to a device with memory of its own, played by the CPU without streams."""

from __future__ import annotations

import threading

import pytest
import torch

from engine.core.background import BackgroundThread
from engine.memory.network import NetworkHost
from engine.memory.residency import MemoryMode, Placement
from engine.memory.transfer import Prefetcher, StagingBuffers
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
    runner.free()
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
    assert found["layers.0.weight"].dtype is torch.float32
    prefetcher.take("layers.2")  # another one came instead of the one that was on its way
    assert weights.reads["layers.1.weight"] == 2
    prefetcher.take("layers.1")
    prefetcher.close()
    assert weights.reads["layers.1.weight"] == 3


class SlowWeights(MemoryWeights):
    """Weights whose disk waits until it is told to go on."""

    def __init__(self, length: int) -> None:
        super().__init__(length, torch.float16)
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.threads: set[str] = set()

    def read(self, name: str) -> torch.Tensor:
        assert self.goes_on.wait(60)
        self.threads.add(threading.current_thread().name)
        return super().read(name)


def test_the_thread_that_computes_does_not_wait_for_the_layer_after_the_one_it_takes() -> None:
    weights = SlowWeights(3)
    layers = {f"layers.{n}": (f"layers.{n}.weight",) for n in range(3)}
    prefetcher = Prefetcher(weights, DEVICE, as_float32, layers)
    for _ in range(2):
        for layer in layers:
            prefetcher.take(layer)
    taken = prefetcher.take("layers.0")
    prefetcher._thread.submit(lambda: None).result(20)
    weights.goes_on.clear()
    following = prefetcher.take("layers.1")  # it is there; the one after it cannot come
    weights.goes_on.set()
    last = prefetcher.take("layers.2")
    prefetcher.close()
    for found in (taken, following, last):
        ((name, weight),) = found.items()
        assert torch.equal(weight, weights.tensors[name].float())
    assert weights.threads == {"weights"}


def test_what_reading_raises_is_raised_where_the_layer_is_taken() -> None:
    weights = MemoryWeights(2, torch.float16)
    prefetcher = Prefetcher(weights, DEVICE, as_float32, {"a": ("layers.0.weight",), "b": ("missing",)})
    prefetcher.take("a")
    with pytest.raises(KeyError, match="missing"):
        prefetcher.take("b")
    assert set(prefetcher.take("a")) == {"layers.0.weight"}
    prefetcher.close()


def test_a_staging_buffer_is_filled_again_only_when_it_has_been_copied_from() -> None:
    buffers, waited = StagingBuffers(is_pinned=False), list[str]()
    first, second, third = (torch.full((3, 5), number, dtype=torch.float16) for number in (1, 2, 3))
    one = buffers.filled([first, torch.ones(7, dtype=torch.uint8)])[0]
    buffers.busy_until(lambda: waited.append("one"))
    two = buffers.filled([second])[0]
    buffers.busy_until(lambda: waited.append("two"))
    assert waited == []
    assert (torch.equal(one, first), torch.equal(two, second)) == (True, True)
    three = buffers.filled([third])[0]
    assert waited == ["one"]
    assert three.data_ptr() == one.data_ptr()
    larger = buffers.filled([torch.arange(1000.0)])[0]
    assert waited == ["one", "two"]
    assert torch.equal(larger, torch.arange(1000.0))
    assert torch.equal(three, third)


def test_the_thread_ends_with_whoever_needed_it() -> None:
    thread = BackgroundThread("for a while")
    assert thread.submit(lambda: threading.current_thread().name).result(20) == "for a while"
    (running,) = [other for other in threading.enumerate() if other.name == "for a while"]
    del thread
    running.join(60)
    assert not running.is_alive()


def test_streamed_weights_are_private_copies() -> None:
    weights = MemoryWeights(1, torch.float32)
    prefetcher = Prefetcher(weights, DEVICE, as_float32, {"layers.0": ("layers.0.weight",)})
    prefetcher.take("layers.0")["layers.0.weight"].zero_()
    assert bool(weights.tensors["layers.0.weight"].any())
