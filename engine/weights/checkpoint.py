"""A weight file opened lazily: keys, shapes and dtypes at once, tensors as views of the mapped file."""

from __future__ import annotations

import copy
import mmap
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType

import torch

from engine.core.digest import digest_bytes
from engine.core.errors import CheckpointError
from engine.weights.converted_files import hold_open
from engine.weights.header import DTYPE_BYTES, SafetensorsHeader, TensorInfo, read_header
from engine.weights.pickles import ConversionPolicy, converted_file, is_pickle_file

__all__ = ["TORCH_DTYPES", "Checkpoint", "FileStamp", "open_checkpoint"]

TORCH_DTYPES: Mapping[str, torch.dtype] = MappingProxyType({
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3": torch.float8_e4m3fn, "I16": torch.int16, "U16": torch.uint16, "F16": torch.float16,
    "BF16": torch.bfloat16, "I32": torch.int32, "U32": torch.uint32, "F32": torch.float32, "F64": torch.float64,
    "I64": torch.int64, "U64": torch.uint64,
})  # fmt: skip
"""The torch dtype of each safetensors dtype."""


@dataclass(frozen=True, slots=True)
class FileStamp:
    """A file's version as the file system tells it: equal stamps, same bytes (unless somebody forges times)."""

    path: str
    num_bytes: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> FileStamp:
        """The stamp of a file now. Raises CheckpointError when there is none."""
        try:
            status = path.stat()
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror}.", hint="Check the file's name.") from error
        return cls(os.path.realpath(path), status.st_size, status.st_mtime_ns)


class Checkpoint:
    """An open weight file. Tensors it hands out are read-only views that stay valid after `close`.

    Thread-safe: nothing changes after opening but the mapping's release to the operating system.
    """

    def __init__(self, path: Path, header: SafetensorsHeader, stamp: FileStamp, *, is_converted: bool = False) -> None:
        self.path = path
        self.stamp = stamp
        self.tensors: Mapping[str, TensorInfo] = header.tensors
        self.metadata: Mapping[str, str] = header.metadata
        self.identity = digest_bytes(header.digest.encode(), repr(stamp).encode())
        """Cheap: equal for the same version of the same file."""
        self._data_start = header.data_start
        self._map: mmap.mmap | None = None
        if any(info.num_bytes for info in header.tensors.values()):
            with path.open("rb") as stream:
                if is_converted:
                    hold_open(stream)
                # A private mapping: pages are shared with every other reader; torch asks for a writable buffer.
                self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor, by key."""
        return {key: info.shape for key, info in self.tensors.items()}

    def tensor(self, key: str) -> torch.Tensor:
        """The tensor as stored, a view of the mapped file; never write to it.

        Raises KeyError for an unknown key, CheckpointError after `close`.
        """
        info = self.tensors[key]
        dtype = TORCH_DTYPES[info.dtype]
        if info.num_bytes == 0:
            return torch.empty(info.shape, dtype=dtype)
        if self._map is None:
            raise CheckpointError(f"{self.path.name} was closed before {key!r} was read.", code="checkpoint_closed")
        start, width = self._data_start + info.start, DTYPE_BYTES[info.dtype]
        if start % width:
            # Old writers did not pad the header; unaligned elements must be copied out.
            raw = bytearray(self._map[start : start + info.num_bytes])
            return torch.frombuffer(raw, dtype=dtype).view(info.shape)
        count = info.num_bytes // width
        flat = torch.frombuffer(self._map, dtype=dtype, count=count, offset=start)
        return flat.view(info.shape)

    def prefetch(self, keys: Iterable[str]) -> None:
        """Ask the operating system to read these tensors ahead; returns at once."""
        self._advise(keys, "MADV_WILLNEED")

    def release(self, keys: Iterable[str]) -> None:
        """Let the operating system take back the pages of these tensors; they are read again when used."""
        self._advise(keys, "MADV_DONTNEED")

    def renamed(self, names: Mapping[str, str]) -> Checkpoint:
        """The same open file with other keys: new key → key in the file. Each is closed on its own."""
        other = copy.copy(self)
        other.tensors = MappingProxyType({new: self.tensors[old] for new, old in names.items()})
        return other

    def close(self) -> None:
        """Give up the mapping; the file is unmapped when the last tensor of it is gone."""
        self._map = None

    def _advise(self, keys: Iterable[str], name: str) -> None:
        advice = getattr(mmap, name, None)
        if advice is None or self._map is None:
            return
        for key in keys:
            info = self.tensors[key]
            start = self._data_start + info.start
            first = start // mmap.PAGESIZE * mmap.PAGESIZE
            if info.num_bytes:
                self._map.madvise(advice, first, start + info.num_bytes - first)


def open_checkpoint(path: Path, conversion: ConversionPolicy | None = None) -> Checkpoint:
    """Open a `.safetensors` file, a GGUF file, or a pickled one (`.ckpt`, `.pt`, `.bin`) after conversion in a child.

    Args:
        path: the file. Its content decides what it is, not its name.
        conversion: where converted files go and what is allowed; None refuses pickled files.

    Raises CheckpointError: missing, damaged, hostile, or pickled and refused.
    """
    stamp = FileStamp.of(path)
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file.", hint="Name a weight file.")
    from engine.weights.gguf_checkpoint import is_gguf_file, open_gguf  # a checkpoint itself, so it imports this module

    if is_gguf_file(path):
        return open_gguf(path, stamp)
    if is_pickle_file(path):
        if conversion is None:
            raise CheckpointError(
                f"{path.name} is a pickle, which can hold programs; only safetensors files are opened here.",
                code="pickle_refused",
                hint="Convert the file to safetensors.",
            )
        source = converted_file(path, digest_bytes(repr(stamp).encode()), conversion)
        return Checkpoint(source, read_header(source), stamp, is_converted=True)
    return Checkpoint(path, read_header(path), stamp)
