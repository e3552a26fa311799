"""The paths only an accelerator takes: the same answers as the CPU, resident or streamed, and memory given back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.diffusion.condition_inputs import ConditionInputs
from engine.memory.device import find_device
from engine.memory.network import NetworkHost
from engine.memory.precision import PrecisionPolicy
from engine.memory.residency import MemoryMode
from tests.tiny_sd1 import host_with, store_on, tiny_checkpoint

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


def cuda_host(budget_bytes: int = 2 << 30, mode: MemoryMode = MemoryMode.KEEP) -> NetworkHost:
    return NetworkHost(find_device("cuda:0"), budget_bytes, PrecisionPolicy(force_float32=True), mode)


def denoised(host: NetworkHost, path: Path) -> torch.Tensor:
    model, clip, _ = store_on(host).open_checkpoint(path)
    context = clip.encode("a fox in the snow").context
    x = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(3))
    inputs = ConditionInputs(context=context.expand(2, -1, -1))
    return model.denoise(x, torch.tensor([3.0, 0.7]), inputs).float().cpu()


def relative_error(left: torch.Tensor, right: torch.Tensor) -> float:
    return float((left - right).norm() / right.norm())


def test_the_device_predicts_what_the_cpu_predicts(path: Path) -> None:
    # Two different orders of summation in float32: a thousandth is a hundred times what is seen.
    assert relative_error(denoised(cuda_host(), path), denoised(host_with(), path)) < 1e-3


def test_streamed_weights_give_the_resident_answer(path: Path) -> None:
    assert relative_error(denoised(cuda_host(mode=MemoryMode.STREAM), path), denoised(cuda_host(), path)) < 1e-5


@pytest.mark.parametrize("mode", list(MemoryMode))
@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_a_network_held_in_eight_bits_predicts_what_the_cpu_predicts(
    path: Path, dtype: torch.dtype, mode: MemoryMode
) -> None:
    policy = PrecisionPolicy(network=dtype, force_float32=True)
    device = NetworkHost(find_device("cuda:0"), 2 << 30, policy, mode)
    cpu = NetworkHost(find_device("cpu"), 2 << 30, policy, mode)
    assert relative_error(denoised(device, path), denoised(cpu, path)) < 1e-3


def test_memory_is_back_at_its_baseline_after_freeing(path: Path) -> None:
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    host = cuda_host()
    denoised(host, path)
    assert host.resident_bytes > 0
    host.free()
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() - before < 1 << 20


def test_one_answer_of_a_batch_is_the_answer_alone(path: Path) -> None:
    both = denoised(cuda_host(), path)
    assert relative_error(both[:1], denoised(cuda_host(), path)[:1]) < 1e-5
