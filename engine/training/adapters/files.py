"""Adapter files as kohya's scripts write them: keys, and the header entries other tools look for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from engine.weights.adapters.keys import read_modules
from engine.weights.adapters.tensors import HeldTensors, StoredModule
from engine.weights.writer import write_safetensors

__all__ = ["adapter_bytes", "adapter_metadata", "write_adapter"]

_LYCORIS = {"hada_w1_b": "loha", "lokr_w1": "lokr", "oft_blocks": "diag-oft"}


def write_adapter(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str], steps: int) -> None:
    """Write a file that appears complete or not at all. `facts` are further header entries."""
    specs = {key: (tensor.dtype, tuple(tensor.shape)) for key, tensor in tensors.items()}
    metadata = {**adapter_metadata(tensors, steps=steps), **facts}
    write_safetensors(path, specs, lambda key: tensors[key], metadata)


def adapter_bytes(tensors: Mapping[str, Tensor], *, steps: int | None = None) -> bytes:
    """The content of a file."""
    plain = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    return save(plain, adapter_metadata(tensors, steps=steps))


def adapter_metadata(tensors: Mapping[str, Tensor], *, steps: int | None = None) -> dict[str, str]:
    """Entries called as kohya's scripts call them: the algorithm, rank and alpha of the first module, steps taken."""
    modules = read_modules(HeldTensors(tensors)).modules
    first: StoredModule | None = next(iter(modules.values()), None)
    entries = {"ss_network_module": "networks.lora"}
    if first is not None:
        algorithm = next((name for role, name in _LYCORIS.items() if role in first.keys), None)
        if algorithm is not None:
            entries["ss_network_module"] = "lycoris.kohya"
            entries["ss_network_args"] = json.dumps({"algo": algorithm})
        rank = next((first.shapes[r][0] for r in ("lora_down", "hada_w1_b", "lokr_w2_b") if r in first.shapes), None)
        if rank is not None:
            entries["ss_network_dim"] = str(rank)
        if first.alpha is not None:
            entries["ss_network_alpha"] = f"{first.alpha:g}"
    if steps is not None:
        entries["ss_steps"] = str(steps)
    return entries
