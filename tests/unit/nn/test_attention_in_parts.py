"""Attention where the kernel would keep all scores at once."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from engine.memory.attention_kernels import attention_kernels
from engine.memory.device import Device, cpu_device
from engine.nn.attention import _attend_in_parts, _rows_at_once


@pytest.mark.parametrize("num_rows", [1, 7, 64, 100])
def test_the_parts_give_what_the_whole_gives(num_rows: int) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, 64, 8, generator=generator) for _ in range(3))
    whole = functional.scaled_dot_product_attention(q, k, v)
    assert torch.allclose(_attend_in_parts(q, k, v, num_rows), whole, atol=1e-6)


def test_only_kernels_that_keep_scores_work_in_parts() -> None:
    wide = torch.empty(1, 8, 16_384, 64, device="meta", dtype=torch.float64)
    assert _rows_at_once(wide, wide) == (1 << 27) // (8 * 16_384)
    assert _rows_at_once(wide.float(), wide.float()) == 16_384


def test_every_kind_of_device_has_a_kernel_whose_memory_is_linear() -> None:
    for device in (cpu_device(), Device("mps"), Device("xpu")):
        available = [kernel for kernel in attention_kernels(device) if kernel.is_available]
        assert any(kernel.is_linear for kernel in available)
