"""GGUF files as checkpoints: a tensor is unpacked from its quantised blocks when it is read.

The blocks are understood by the `gguf` library, which is not among the requirements: only such files need it.
"""

from __future__ import annotations

import importlib
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from engine.core.digest import digest_bytes
from engine.core.errors import CheckpointError
from engine.weights.checkpoint import TORCH_DTYPES, Checkpoint, FileStamp
from engine.weights.header import DTYPE_BYTES, TensorInfo

__all__ = ["GgufCheckpoint", "is_gguf_file", "open_gguf"]

_LIBRARY = "gguf"
_MAGIC = b"GGUF"
_HEADER = struct.Struct("<IQQ")
_VERSIONS = (2, 3)
_MAX_TENSORS, _MAX_ENTRIES = 1 << 14, 1 << 14
_MAX_TEXT = 1 << 16
_ORIGINAL_SHAPE = "comfy.gguf.orig_shape."
_PLAIN_DTYPES: Mapping[str, str] = MappingProxyType({"F32": "F32", "F16": "F16", "BF16": "BF16", "F64": "F64"})
_UNPACKED_DTYPE = "F16"
"""What quantised blocks are unpacked to; their scales are stored in it."""


def is_gguf_file(path: Path) -> bool:
    """Whether a file begins as GGUF files do."""
    with path.open("rb") as stream:
        return stream.read(len(_MAGIC)) == _MAGIC


class GgufCheckpoint(Checkpoint):
    """An open GGUF file. Tensors it hands out are copies of their own."""

    def __init__(self, path: Path, stamp: FileStamp, reader: Any) -> None:
        self.path = path
        self.stamp = stamp
        self.metadata = MappingProxyType(_texts(reader.fields))
        self._packed: Sequence[Any] = tuple(reader.tensors)
        shapes = _original_shapes(reader.fields)
        self.tensors = MappingProxyType(
            {packed.name: _info(place, packed, shapes) for place, packed in enumerate(self._packed)}
        )
        self.identity = digest_bytes(b"gguf", repr(sorted(self.tensors.items())).encode(), repr(stamp).encode())
        self._data_start = 0
        self._map = None

    def tensor(self, key: str) -> torch.Tensor:
        """The tensor, unpacked. Raises KeyError for an unknown key, CheckpointError after `close`."""
        info = self.tensors[key]
        if not self._packed:
            raise CheckpointError(f"{self.path.name} was closed before {key!r} was read.", code="checkpoint_closed")
        packed = self._packed[info.start]
        dtype = TORCH_DTYPES[info.dtype]
        kind = packed.tensor_type.name
        if kind == "BF16":
            flat = torch.from_numpy(np.array(packed.data).view(np.uint8).reshape(-1)).view(torch.bfloat16)
        elif kind in _PLAIN_DTYPES:
            flat = torch.from_numpy(np.array(packed.data)).reshape(-1)
        else:
            flat = torch.from_numpy(_unpacked(packed)).reshape(-1).to(dtype)
        return flat.view(info.shape)

    def close(self) -> None:
        """Give up the mapping; the file is unmapped when the last view of it is gone."""
        self._packed = ()


def open_gguf(path: Path, stamp: FileStamp) -> GgufCheckpoint:
    """Open a GGUF file. Raises CheckpointError: the library is not there, or the file is damaged or of another kind."""
    _check_header(path)
    try:
        library = importlib.import_module(_LIBRARY)
    except ImportError as error:
        raise CheckpointError(
            f"{path.name} is a GGUF file, and the library that reads these is not installed.",
            code="gguf_missing",
            hint="Install the package `gguf` into the environment (.venv), or use a safetensors file of this model.",
        ) from error
    try:
        return GgufCheckpoint(path, stamp, library.GGUFReader(path))
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        # What the library says is about its own arithmetic.
        raise _refusal(path, "is cut off or damaged: its tensors are not where its header says") from error


def _check_header(path: Path) -> None:
    """Refuse counts no model has before the library believes them."""
    with path.open("rb") as stream:
        raw = stream.read(len(_MAGIC) + _HEADER.size)
    if len(raw) < len(_MAGIC) + _HEADER.size:
        raise _refusal(path, "has no header")
    version, num_tensors, num_entries = _HEADER.unpack(raw[len(_MAGIC) :])
    if version not in _VERSIONS:
        raise _refusal(path, f"is of version {version}; {' and '.join(map(str, _VERSIONS))} are read")
    if num_tensors > _MAX_TENSORS or num_entries > _MAX_ENTRIES:
        raise _refusal(path, f"announces {num_tensors} tensors and {num_entries} entries")


def _refusal(path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"{path.name} {what}.", code="bad_checkpoint", hint="The file is damaged; download it again."
    )


def _info(place: int, packed: Any, shapes: Mapping[str, tuple[int, ...]]) -> TensorInfo:
    """`start` is the tensor's place in the file's list, so that it is found under another name too."""
    shape = shapes.get(packed.name, tuple(int(size) for size in reversed(packed.shape)))
    if math.prod(shape) != int(packed.n_elements):
        raise ValueError(f"{packed.name} has {packed.n_elements} values where {list(shape)} are stated")
    dtype = _PLAIN_DTYPES.get(packed.tensor_type.name, _UNPACKED_DTYPE)
    return TensorInfo(dtype, shape, place, place + math.prod(shape) * DTYPE_BYTES[dtype])


def _unpacked(packed: Any) -> np.ndarray:
    library = importlib.import_module(_LIBRARY)
    try:
        return np.ascontiguousarray(library.dequantize(packed.data, packed.tensor_type), dtype=np.float32)
    except NotImplementedError as error:
        raise CheckpointError(
            f"{packed.name} is packed as {packed.tensor_type.name}, which is not known here.", code="gguf_packing"
        ) from error


def _original_shapes(fields: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shapes that the format could not say, of kernels that were packed as matrices."""
    return {
        name.removeprefix(_ORIGINAL_SHAPE): tuple(int(entry.parts[place][0]) for place in entry.data)
        for name, entry in fields.items()
        if name.startswith(_ORIGINAL_SHAPE)
    }


def _texts(fields: Mapping[str, Any]) -> dict[str, str]:
    """The file's short entries of one value, as text."""
    found = {}
    for name, entry in fields.items():
        if len(entry.types) == 1 and not name.startswith("GGUF."):
            value = entry.contents()
            text = value if isinstance(value, str) else str(value)
            if len(text) <= _MAX_TEXT:
                found[name] = text
    return found
