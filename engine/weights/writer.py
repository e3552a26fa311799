"""Writing a safetensors file tensor by tensor, so that memory does not grow with the file."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

__all__ = ["write_safetensors"]

_NAMES: Mapping[torch.dtype, tuple[str, int]] = {
    torch.bool: ("BOOL", 1), torch.uint8: ("U8", 1), torch.int8: ("I8", 1), torch.float8_e5m2: ("F8_E5M2", 1),
    torch.float8_e4m3fn: ("F8_E4M3", 1), torch.int16: ("I16", 2), torch.float16: ("F16", 2),
    torch.bfloat16: ("BF16", 2), torch.int32: ("I32", 4), torch.float32: ("F32", 4), torch.float64: ("F64", 8),
    torch.int64: ("I64", 8),
}  # fmt: skip


def write_safetensors(
    path: Path,
    specs: Mapping[str, tuple[torch.dtype, tuple[int, ...]]],
    tensor: Callable[[str], torch.Tensor],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a file that appears complete or not at all.

    Args:
        path: the file; its folder must exist. The bytes go to a neighbour first, which is then renamed.
        specs: dtype and shape of each tensor.
        tensor: called once for each key, in the file's order; must return what `specs` says.
        metadata: text entries of the header.

    Raises ValueError when a tensor is not what its spec said; OSError when writing fails.
    """
    order = sorted(specs, key=lambda key: (-_NAMES[specs[key][0]][1], key))
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            header = _header(order, specs, metadata)
            stream.write(struct.pack("<Q", len(header)))
            stream.write(header)
            for key in order:
                value = tensor(key).detach().cpu()
                if (value.dtype, tuple(value.shape)) != (specs[key][0], tuple(specs[key][1])):
                    raise ValueError(f"{key}: {value.dtype} {list(value.shape)} is not what was announced")
                if value.numel():
                    value.contiguous().reshape(-1).view(torch.uint8).numpy().tofile(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _header(
    order: list[str],
    specs: Mapping[str, tuple[torch.dtype, tuple[int, ...]]],
    metadata: Mapping[str, str] | None,
) -> bytes:
    entries: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    for key in order:
        dtype, shape = specs[key]
        name, width = _NAMES[dtype]
        size = width * math.prod(shape)
        entries[key] = {"dtype": name, "shape": list(shape), "data_offsets": [position, position + size]}
        position += size
    raw = json.dumps(entries, separators=(",", ":")).encode()
    return raw + b" " * (-len(raw) % 8)
