"""Kernels in the order of the CPU's library: the same numbers, one copy, and only where there is room."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.memory.device import cpu_device
from engine.memory.meter import measure_peak
from engine.memory.network import NetworkHost
from engine.memory.residency import MemoryMode, Placement
from engine.memory.source import NetworkSource
from engine.nn.layers import Conv2d
from engine.weights.remap import WeightSpec

SHAPE = (112, 112, 3, 3)
KERNEL_BYTES = 4 * 112 * 112 * 9
ROOM = 1 << 24
X = torch.randn(1, 112, 6, 5, generator=torch.Generator().manual_seed(1))


class OneKernel:
    """Weights of one convolution, and what was released of them."""

    def __init__(self, dtype: torch.dtype) -> None:
        chance = torch.Generator().manual_seed(0)
        self.tensors = {"weight": torch.randn(SHAPE, generator=chance).to(dtype), "bias": torch.ones(112, dtype=dtype)}
        self.specs = {name: WeightSpec(tuple(item.shape), dtype) for name, item in self.tensors.items()}
        self.released: list[str] = []

    def read(self, name: str) -> Tensor:
        return self.tensors[name]

    def prefetch(self, names: Iterable[str]) -> None:
        pass

    def release(self, names: Iterable[str]) -> None:
        self.released += names


def convolution(dtype: torch.dtype = torch.float32, *, repeats: bool = True) -> tuple[NetworkSource, OneKernel]:
    weights = OneKernel(dtype)
    build: Any = lambda: Conv2d(112, 112, 3, padding=1)  # noqa: E731
    return NetworkSource(f"kernel {dtype} {repeats}", "network", build, weights, repeats=repeats), weights


def plain(weights: OneKernel) -> Tensor:
    kernel, bias = (weights.tensors[name].float() for name in ("weight", "bias"))
    return torch.nn.functional.conv2d(X, kernel, bias, padding=1)


def assert_same(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-4)


def is_packed(network: Any) -> bool:
    return bool(network.weight.is_mkldnn)


@pytest.fixture(autouse=True)
def _with_onednn() -> None:
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this torch was built without oneDNN")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_kernel_is_packed_in_the_first_forward_and_computes_the_same(dtype: torch.dtype) -> None:
    source, weights = convolution(dtype)
    host = NetworkHost(cpu_device(), ROOM)
    for _ in range(2):
        assert_same(host.run(source, lambda network: network(X)), plain(weights))
    assert host.run(source, is_packed)
    assert "weight" in weights.released
    assert host.resident_bytes == KERNEL_BYTES + 4 * 112


@pytest.mark.parametrize(("budget", "mode"), [(KERNEL_BYTES // 2, MemoryMode.KEEP), (ROOM, MemoryMode.STREAM)])
def test_without_room_the_kernel_is_used_from_the_file(budget: int, mode: MemoryMode) -> None:
    source, weights = convolution()
    host = NetworkHost(cpu_device(), budget, mode=mode)
    assert_same(host.run(source, lambda network: network(X)), plain(weights))
    assert host.run(source, lambda network: network.weight.data_ptr()) == weights.tensors["weight"].data_ptr()
    assert host.resident_bytes == 0


def test_what_runs_once_for_a_picture_is_not_packed() -> None:
    source, _ = convolution(repeats=False)
    host = NetworkHost(cpu_device(), ROOM)
    host.run(source, lambda network: network(X))
    plan = host.plan_of(source)
    assert plan is not None
    assert set(plan.placements.values()) == {Placement.MAPPED}


def test_gradients_flow_through_a_packed_kernel_and_it_can_be_made_plain_again() -> None:
    source, weights = convolution()
    host = NetworkHost(cpu_device(), ROOM)
    host.run(source, lambda network: network(X))

    def gradient(network: Any) -> Tensor:
        with torch.enable_grad():
            x = X.clone().requires_grad_()
            return torch.autograd.grad(network(x).square().sum(), x)[0]

    through_packed = host.run(source, gradient)
    host.run(source, lambda network: network.unpack())
    assert not host.run(source, is_packed)
    assert torch.equal(through_packed, host.run(source, gradient))
    assert_same(host.run(source, lambda network: network(X)), plain(weights))


def test_packed_kernels_are_no_activations() -> None:
    source, _ = convolution()
    host = NetworkHost(cpu_device(), ROOM)
    _, peak_bytes = host.run(source, lambda network: measure_peak(cpu_device(), lambda: network(X)))
    _, again_bytes = host.run(source, lambda network: measure_peak(cpu_device(), lambda: network(X)))
    assert X.numel() * 4 <= again_bytes == peak_bytes < KERNEL_BYTES
