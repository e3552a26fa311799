"""Devices, their memory, and the dtypes chosen for them."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from engine.core.errors import SettingsError
from engine.memory.device import Device, cpu_device, find_device, is_out_of_memory, list_devices, memory_facts
from engine.memory.network import default_budget_bytes
from engine.memory.precision import PrecisionPolicy, parse_dtype, wider_than

GPU = Device("mps")


def test_the_cpu_is_always_there_and_listed_last() -> None:
    assert list_devices()[-1] == cpu_device()
    assert find_device("cpu").torch == torch.device("cpu")


def test_an_unknown_device_is_refused_with_the_ones_there_are() -> None:
    with pytest.raises(SettingsError, match="tpu") as caught:
        find_device("tpu:9")
    assert "cpu" in caught.value.hint


def test_memory_is_told_in_bytes() -> None:
    facts = memory_facts(cpu_device())
    assert 0 < facts.free_bytes <= facts.total_bytes


def test_the_budget_is_a_share_of_the_host_unless_it_is_given() -> None:
    total = memory_facts(cpu_device()).total_bytes
    assert default_budget_bytes(cpu_device()) < total
    assert default_budget_bytes(cpu_device(), 1000) == 1000
    assert default_budget_bytes(cpu_device(), 1000, 300) == 700
    assert default_budget_bytes(cpu_device(), 1000, 3000) == 0


def test_the_cpu_computes_in_single_precision_unless_told_otherwise() -> None:
    for part in ("network", "vae", "text_encoder"):
        assert PrecisionPolicy().compute_dtype(part, cpu_device()) is torch.float32  # type: ignore[arg-type]
    assert PrecisionPolicy(network=torch.bfloat16).compute_dtype("network", cpu_device()) is torch.bfloat16


def test_accelerators_compute_networks_in_half_and_text_in_single_precision() -> None:
    policy = PrecisionPolicy()
    assert policy.compute_dtype("network", GPU) is torch.float16
    assert policy.compute_dtype("text_encoder", GPU) is torch.float32
    assert PrecisionPolicy(torch.float16, force_float32=True).compute_dtype("network", GPU) is torch.float32


def test_what_overflows_is_computed_in_the_narrowest_dtype_of_a_wider_range() -> None:
    assert wider_than(torch.float16, cpu_device()) is torch.float32
    assert wider_than(torch.float16, Device("xpu")) is torch.bfloat16
    assert wider_than(torch.bfloat16, Device("xpu")) is torch.float32
    assert wider_than(torch.float32, cpu_device()) is None
    assert PrecisionPolicy().compute_dtype("vae", Device("xpu")) is torch.bfloat16
    assert PrecisionPolicy().compute_dtype("vae", Device("mps")) is torch.float32


def test_a_dtype_networks_cannot_compute_in_is_refused() -> None:
    assert parse_dtype("bfloat16") is torch.bfloat16
    with pytest.raises(SettingsError, match="int8"):
        parse_dtype("int8")


def test_failed_allocations_are_told_from_other_errors() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("x"))
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"))
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_deterministic_kernels_are_preferred_for_the_process_that_asks() -> None:
    script = "import torch; from engine.memory.device import prefer_deterministic_kernels as prefer; prefer(); "
    script += (
        "print(torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled())"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["True", "True"]
    assert not torch.are_deterministic_algorithms_enabled()
