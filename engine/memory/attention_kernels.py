"""Which kernels torch has for attention on a device, and whether one of them needs no room for all scores at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.memory.device import Device

__all__ = ["AttentionKernel", "attention_kernels"]


@dataclass(frozen=True, slots=True)
class AttentionKernel:
    """A kernel behind torch's scaled_dot_product_attention, in the order torch prefers them.

    is_linear: its memory grows with the number of tokens, not with its square.
    """

    name: str
    is_available: bool
    is_linear: bool


def attention_kernels(device: Device) -> tuple[AttentionKernel, ...]:
    """The kernels for a device. torch chooses among those available by dtype, width of a head and mask, each time."""
    if device.kind == "cuda":
        backends = torch.backends.cuda
        has_flash = backends.is_flash_attention_available() and backends.flash_sdp_enabled()
        return (
            AttentionKernel("cudnn", backends.cudnn_sdp_enabled() and torch.backends.cudnn.is_available(), True),
            AttentionKernel("flash", has_flash, True),
            AttentionKernel("efficient", backends.mem_efficient_sdp_enabled(), True),
            AttentionKernel("math", True, False),
        )
    if device.kind in ("cpu", "xpu"):
        return (AttentionKernel("flash", True, True), AttentionKernel("math", True, False))
    return (AttentionKernel("math", True, False), AttentionKernel("math in parts", True, True))
