"""Weights held in eight bits between forwards: what they cost, and that they compute as if rounded in the file."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from engine.core.errors import OutOfMemory, SettingsError
from engine.memory.device import Device, cpu_device
from engine.memory.network import NetworkHost, NetworkSource
from engine.memory.precision import PrecisionPolicy, is_storage_only, parse_dtype, rounded
from engine.memory.residency import MemoryMode, Placement
from engine.memory.widening import widen
from engine.weights.patches import NO_PATCHES, PatchSet
from tests.chain_network import PATCHES, WIDTH, X, chain, expected

EIGHT_BITS = (torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e8m0fnu)
HELD_LAYER_BYTES = WIDTH * WIDTH + 4 * WIDTH
CAST_LAYER_BYTES = 4 * WIDTH * WIDTH + 4 * WIDTH
WHOLE_BYTES = 4 * HELD_LAYER_BYTES + 4 * WIDTH


class SeparateDevice(Device):
    """A device that computes on the CPU but counts as having memory of its own."""

    @property
    def shares_host_memory(self) -> bool:
        return False


def holding(
    dtype: torch.dtype, budget: int = 1 << 30, mode: MemoryMode = MemoryMode.KEEP, device: Device | None = None
) -> NetworkHost:
    return NetworkHost(device or cpu_device(), budget, PrecisionPolicy(network=dtype), mode)


def rounded_source(source: NetworkSource, dtype: torch.dtype) -> NetworkSource:
    """The same network from a file whose matrices were rounded beforehand."""
    weights = chain(identity="rounded").weights
    weights.tensors = {  # type: ignore[attr-defined]
        name: rounded(tensor, dtype).float() if tensor.ndim > 1 else tensor.float()
        for name, tensor in source.weights.tensors.items()  # type: ignore[attr-defined]
    }
    return replace(source, weights=weights)


def run(host: NetworkHost, source: NetworkSource, patches: PatchSet = NO_PATCHES) -> torch.Tensor:
    return host.run(source, lambda network: network(X), patches=patches)


@pytest.mark.parametrize("dtype", EIGHT_BITS)
@pytest.mark.parametrize("stored", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("mode", list(MemoryMode))
@pytest.mark.parametrize("patches", [NO_PATCHES, PATCHES])
@pytest.mark.parametrize("device", [cpu_device(), SeparateDevice("cpu")])
def test_every_plan_computes_as_if_the_file_had_been_rounded(
    dtype: torch.dtype, stored: torch.dtype, mode: MemoryMode, patches: PatchSet, device: Device
) -> None:
    source = chain(dtype=stored)
    wanted = expected(rounded_source(source, dtype), X, patches)
    for budget in (1 << 30, 100_000):
        host = holding(dtype, budget, mode, device)
        for _ in range(2):
            assert torch.equal(run(host, source, patches), wanted)
        plan = host.plan_of(source)
        assert plan is not None
        assert plan.peak_bytes <= budget


def test_matrices_are_kept_in_the_storage_dtype_and_the_rest_in_the_compute_dtype() -> None:
    source = chain()
    host = holding(torch.float8_e4m3fn)
    found: list[nn.Module] = []
    host.run(source, lambda network: found.append(network))
    plan = host.plan_of(source)
    assert plan is not None
    assert set(plan.placements.values()) == {Placement.RESIDENT}
    assert host.resident_bytes == WHOLE_BYTES
    assert plan.scratch_bytes == CAST_LAYER_BYTES
    assert found[0].layers[0].bias.dtype is torch.float32
    assert found[0].layers[0].weight.device.type == "meta"


def test_a_layer_sees_its_weight_in_the_compute_dtype_while_it_runs_and_only_then() -> None:
    host = holding(torch.float8_e5m2)
    seen: list[torch.dtype] = []

    def forward(network: nn.Module) -> None:
        watch = network.layers[1].register_forward_hook(lambda layer, *_: seen.append(layer.weight.dtype), prepend=True)
        network(X)
        watch.remove()
        seen.append(network.layers[1].weight.dtype)
        assert network.layers[1].weight.device.type == "meta"

    host.run(chain(), forward)
    assert seen[0] is torch.float32


def test_a_kept_weight_is_read_once() -> None:
    source = chain()
    host = holding(torch.float8_e4m3fn)
    for patches in (NO_PATCHES, PATCHES, NO_PATCHES):
        run(host, source, patches)
    assert set(source.weights.reads.values()) == {1}  # type: ignore[attr-defined]


def test_a_plan_under_a_budget_keeps_as_many_rounded_layers_as_fit() -> None:
    source = chain(8)
    # The scratch of a layer that is not kept: cast, rounded and stored form.
    scratch = CAST_LAYER_BYTES + HELD_LAYER_BYTES + 2 * (WIDTH * WIDTH + WIDTH)
    host = holding(torch.float8_e4m3fn, 4 * WIDTH + scratch + 2 * HELD_LAYER_BYTES)
    run(host, source)
    plan = host.plan_of(source)
    assert plan is not None
    assert list(plan.placements.values()).count(Placement.CAST_ON_USE) == 6
    assert plan.resident_bytes == 2 * HELD_LAYER_BYTES + 4 * WIDTH
    assert plan.scratch_bytes == scratch
    with pytest.raises(OutOfMemory):
        run(holding(torch.float8_e4m3fn, 4 * WIDTH + scratch - 1), source)


def test_a_budget_that_holds_all_rounded_layers_and_one_cast_one_is_enough() -> None:
    source = chain()
    host = holding(torch.float8_e4m3fn, WHOLE_BYTES + CAST_LAYER_BYTES)
    run(host, source)
    plan = host.plan_of(source)
    assert plan is not None
    assert plan.moved_bytes == 0
    assert plan.peak_bytes == WHOLE_BYTES + CAST_LAYER_BYTES


def test_a_small_patch_survives_rounding_because_it_comes_after() -> None:
    class AddLittle:
        identity = "add a little"
        names = frozenset({"layers.1.weight"})

        def apply(self, name: str, weight: torch.Tensor) -> torch.Tensor:
            return weight.add_(1e-4)

    source = chain()
    host = holding(torch.float8_e4m3fn)
    plain = run(host, source)
    changed = run(host, source, PatchSet((AddLittle(),)))
    assert not torch.equal(plain, changed)
    assert torch.equal(run(host, source), plain)


def test_a_failed_layer_leaves_the_network_usable() -> None:
    source = chain()
    host = holding(torch.float8_e4m3fn)
    wanted = run(host, source)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        host.run(source, lambda network: network(torch.zeros(1, 3)))
    assert torch.equal(run(host, source), wanted)


def test_a_file_already_in_eight_bits_gives_what_it_holds_whatever_it_is_held_in() -> None:
    source = chain(dtype=torch.float8_e4m3fn)
    wanted = expected(source, X)
    for requested in (None, torch.float8_e4m3fn, torch.float32):
        host = NetworkHost(cpu_device(), 1 << 30, PrecisionPolicy(network=requested))
        assert torch.equal(run(host, source), wanted)


def test_double_precision_computes_in_double_precision() -> None:
    source = chain(dtype=torch.float64)
    host = NetworkHost(cpu_device(), 1 << 30, PrecisionPolicy(network=torch.float64))
    found = host.run(source, lambda network: network(X.double()))
    assert found.dtype is torch.float64
    assert torch.allclose(found.float(), expected(source, X), atol=1e-6)


@pytest.mark.parametrize("dtype", EIGHT_BITS)
def test_values_beyond_the_range_of_eight_bits_become_its_ends(dtype: torch.dtype) -> None:
    limit = torch.finfo(dtype).max
    for stored in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
        assert bool(rounded(torch.tensor([60000.0, 1.0], dtype=stored), dtype).float().isfinite().all())
    assert float(rounded(torch.tensor([3e38]), dtype).float()) == limit


def test_rounding_from_one_eight_bit_dtype_to_another_goes_by_value() -> None:
    values = torch.tensor([0.25, -3.0, 40000.0]).to(torch.float8_e5m2)
    assert rounded(values, torch.float8_e4m3fn).float().tolist() == [0.25, -3.0, 448.0]
    assert rounded(values, torch.float8_e5m2) is values


@pytest.mark.parametrize("dtype", EIGHT_BITS)
@pytest.mark.parametrize("wide", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_widening_gives_every_one_of_the_256_values(dtype: torch.dtype, wide: torch.dtype) -> None:
    codes = torch.arange(256, dtype=torch.uint8).repeat(600)
    for weight in (codes.view(dtype), codes.view(2, -1).view(dtype).t()):
        out = torch.empty(weight.shape, dtype=wide)
        widen(weight, out)
        assert torch.equal(out.nan_to_num(7.0), weight.to(wide).nan_to_num(7.0))


@pytest.mark.parametrize("dtype", EIGHT_BITS)
def test_eight_bits_are_for_storage_and_the_device_chooses_what_to_compute_in(dtype: torch.dtype) -> None:
    gpu, cpu = Device("mps"), cpu_device()
    policy = PrecisionPolicy(network=dtype)
    assert is_storage_only(dtype)
    assert (policy.compute_dtype("network", cpu), policy.storage_dtype("network", cpu)) == (torch.float32, dtype)
    assert (policy.compute_dtype("network", gpu), policy.storage_dtype("network", gpu)) == (torch.float16, dtype)
    assert policy.storage_dtype("vae", cpu) is torch.float32
    assert parse_dtype(str(dtype).removeprefix("torch.")) is dtype
    with pytest.raises(SettingsError, match="Apple GPUs have no float8"):
        policy.refuse_unsupported(gpu)
    policy.refuse_unsupported(cpu)


def test_forced_half_precision_is_for_networks_and_text_without_a_request_of_their_own() -> None:
    policy = PrecisionPolicy(network=torch.float8_e4m3fn, force_float16=True)
    assert [policy.compute_dtype(part, cpu_device()) for part in ("network", "text_encoder", "vae")] == [  # type: ignore[arg-type]
        torch.float16,
        torch.float16,
        torch.float32,
    ]
    assert PrecisionPolicy(torch.bfloat16, force_float16=True).compute_dtype("network", cpu_device()) is torch.bfloat16
