"""From one-byte floats to the dtype a layer computes in."""

from __future__ import annotations

import torch

__all__ = ["widen"]

_CHUNK = 1 << 17


def widen(weight: torch.Tensor, out: torch.Tensor) -> None:
    """Write a weight into `out`, which has its shape, lies on its device and is contiguous; exact.

    On the host float8_e4m3fn is looked up among its 256 values, chunk by chunk in the processor's cache: torch, which
    converts the other one-byte floats faster than that, takes two to five times as long for this one.
    """
    if weight.dtype is not torch.float8_e4m3fn or weight.device.type != "cpu" or not weight.is_contiguous():
        out.copy_(weight)
        return
    values = torch.arange(256, dtype=torch.uint8).view(weight.dtype).to(out.dtype)
    codes = weight.view(-1).view(torch.uint8)
    for some, place in zip(codes.split(_CHUNK), out.view(-1).split(_CHUNK), strict=True):
        torch.index_select(values, 0, some.int(), out=place)
