"""A safetensors file that is to be written: its tensors by key, each made when its turn comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from engine.core.errors import CheckpointError
from engine.weights.patched import FinalWeights
from engine.weights.writer import write_safetensors

__all__ = ["FileTensor", "WeightFile", "file_tensors", "held_tensor"]


@dataclass(frozen=True, slots=True)
class FileTensor:
    """One tensor: dtype and shape, and how to make it."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    read: Callable[[], Tensor] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class WeightFile:
    """Tensors and text entries of a file."""

    tensors: Mapping[str, FileTensor]
    metadata: Mapping[str, str] = field(default_factory=dict)

    def write(self, path: Path, on_tensor: Callable[[int, int], None] | None = None) -> None:
        """Write the file, one tensor in memory at a time.

        on_tensor: called with how many are done, and of how many; what it raises ends the writing.
        Raises CheckpointError for a number that its dtype does not have, OSError when the disk refuses.
        """
        done = 0

        def tensor(key: str) -> Tensor:
            nonlocal done
            if on_tensor is not None:
                on_tensor(done, len(self.tensors))
            done += 1
            return _rounded(key, self.tensors[key])

        write_safetensors(path, {key: (t.dtype, t.shape) for key, t in self.tensors.items()}, tensor, self.metadata)

    def with_dtype(self, dtype: torch.dtype) -> WeightFile:
        """The same file with every floating-point tensor in this dtype."""
        return replace(
            self,
            tensors={
                key: replace(tensor, dtype=dtype) if tensor.dtype.is_floating_point else tensor
                for key, tensor in self.tensors.items()
            },
        )


def held_tensor(tensor: Tensor) -> FileTensor:
    """A tensor in memory; it must not be written afterwards."""
    return FileTensor(tensor.dtype, tuple(tensor.shape), lambda: tensor)


def file_tensors(weights: FinalWeights, prefix: str = "", names: Iterable[str] | None = None) -> dict[str, FileTensor]:
    """A network's weights, or those named, below a prefix, in the dtypes they are stored in.

    Those of eight bits become float16, which has all their numbers: what patches do would mostly be rounded away again.
    """

    def tensor(name: str) -> FileTensor:
        spec = weights.specs[name]
        is_narrow = spec.dtype.is_floating_point and spec.dtype.itemsize == 1
        wide = torch.float64 if spec.dtype == torch.float64 else torch.float32
        dtype = torch.float16 if is_narrow else spec.dtype
        return FileTensor(dtype, spec.shape, lambda: weights.read(name, dtype=wide))

    return {prefix + name: tensor(name) for name in (weights.specs if names is None else names)}


def _rounded(key: str, tensor: FileTensor) -> Tensor:
    value = tensor.read().detach()
    if value.dtype == tensor.dtype:
        return value
    rounded = value.to(tensor.dtype)
    if rounded.numel() and tensor.dtype.is_floating_point and not torch.isfinite(rounded.float()).all():
        name = str(tensor.dtype).removeprefix("torch.")
        raise CheckpointError(
            f"{key} has numbers that {name} cannot hold.",
            code="weights_not_finite",
            hint="Write the file in float32 or bfloat16, or look for the merge that made them.",
        )
    return rounded
