"""Node values ↔ one safetensors file: tensors as its tensors, everything around them as JSON in its header.

Only values that are exactly tensors, JSON scalars, lists, tuples and dicts of those are stored; anything else (model
handles, objects of packs) is not, and nothing in such a file can name code to run.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

__all__ = ["DamagedArtifact", "NotStorable", "read_artifact", "read_facts", "write_artifact"]

_FORMAT = "atelier-artifact-1"
_MAX_DEPTH = 64
_MAX_HEADER_BYTES = 16 << 20
_STORABLE_DTYPES = frozenset(
    {
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
        torch.uint8, torch.bool,
    }
)  # fmt: skip


class NotStorable(Exception):
    """The value has a part that cannot be written."""


class DamagedArtifact(Exception):
    """The file is not what was written."""


def write_artifact(path: Path, outputs: tuple[list[Any], ...], ui: Any, facts: dict[str, Any]) -> None:
    """Write a node's outputs and UI output. `facts` is JSON kept beside them. Raises NotStorable, or OSError."""
    tensors: dict[str, torch.Tensor] = {}
    names: dict[int, str] = {}
    body = {"outputs": _describe(list(outputs), tensors, names, 0), "ui": ui, "facts": facts}
    body["sums"] = {name: _checksum(tensor) for name, tensor in tensors.items()}
    try:
        text = json.dumps(body)
    except (TypeError, ValueError) as error:
        raise NotStorable(str(error)) from error
    if len(text) > _MAX_HEADER_BYTES:
        raise NotStorable("the value is mostly text")
    save_file(tensors, path, {"format": _FORMAT, "body": text})


def read_artifact(path: Path) -> tuple[tuple[list[Any], ...], Any]:
    """The outputs and UI output of a file. Raises DamagedArtifact, or OSError when it cannot be read."""
    try:
        with safe_open(path, framework="pt", device="cpu") as stored:
            body = _body(stored.metadata())
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a mapping
        for name, tensor in tensors.items():
            if body["sums"].get(name) != _checksum(tensor):
                raise DamagedArtifact(f"tensor {name} has changed")
        return tuple(_restore(body["outputs"], tensors)), body["ui"]
    except (SafetensorError, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise DamagedArtifact(str(error)) from error


def read_facts(path: Path) -> dict[str, Any]:
    """The facts of a file, from its header alone. Raises DamagedArtifact, or OSError."""
    try:
        with safe_open(path, framework="pt", device="cpu") as stored:
            return dict(_body(stored.metadata())["facts"])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DamagedArtifact(str(error)) from error


def _body(metadata: dict[str, str] | None) -> Any:
    if not metadata or metadata.get("format") != _FORMAT:
        raise DamagedArtifact("not an artifact file")
    return json.loads(metadata["body"])


def _checksum(tensor: torch.Tensor) -> int:
    return zlib.crc32(memoryview(tensor.reshape(-1).view(torch.uint8).numpy())) if tensor.numel() else 0


def _describe(value: Any, tensors: dict[str, torch.Tensor], names: dict[int, str], depth: int) -> list[Any]:
    """A value as [tag, content]; tensors go to `tensors` under a number, each object once."""
    if depth > _MAX_DEPTH:
        raise NotStorable("nested too deeply")
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return ["j", value]
    if kind is torch.Tensor:
        return ["t", _keep_tensor(value, tensors, names)]
    if kind in (list, tuple):
        return ["l" if kind is list else "u", [_describe(item, tensors, names, depth + 1) for item in value]]
    if kind is dict:
        pairs = [(_describe_key(key), _describe(item, tensors, names, depth + 1)) for key, item in value.items()]
        return ["d", pairs]
    raise NotStorable(f"a {kind.__name__} is not stored")


def _describe_key(key: Any) -> Any:
    if type(key) not in (str, int):
        raise NotStorable(f"a {type(key).__name__} as key is not stored")
    return key


def _keep_tensor(tensor: torch.Tensor, tensors: dict[str, torch.Tensor], names: dict[int, str]) -> str:
    if tensor.device.type != "cpu" or tensor.layout is not torch.strided or tensor.dtype not in _STORABLE_DTYPES:
        raise NotStorable(f"a {tensor.dtype} tensor on {tensor.device} is not stored")
    if id(tensor) not in names:
        name = str(len(names))
        names[id(tensor)] = name
        kept = tensor.detach().resolve_conj().resolve_neg().contiguous()
        # Two tensors may share memory; each is written as its own.
        tensors[name] = kept.clone() if kept.data_ptr() == tensor.data_ptr() else kept
    return names[id(tensor)]


def _restore(description: list[Any], tensors: dict[str, torch.Tensor]) -> Any:
    tag, content = description
    if tag == "j":
        return content
    if tag == "t":
        return tensors[content]
    if tag == "l":
        return [_restore(item, tensors) for item in content]
    if tag == "u":
        return tuple(_restore(item, tensors) for item in content)
    if tag == "d":
        return {key: _restore(item, tensors) for key, item in content}
    raise DamagedArtifact(f"unknown tag {tag!r}")
