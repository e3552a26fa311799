"""Where an adapter's tensors are: in a file, read when a weight is prepared, or in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

import torch
from torch import Tensor

from engine.core.digest import digest_bytes

__all__ = ["ALPHA", "Change", "HeldTensors", "ModuleTensors", "StoredModule", "TensorSource", "scale_of"]

ALPHA = "alpha"


class TensorSource(Protocol):
    """Named tensors; `engine.weights.checkpoint.Checkpoint` is one."""

    @property
    def identity(self) -> str:
        """Equal identity, equal tensors."""
        ...

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of every tensor, by key."""
        ...

    @property
    def metadata(self) -> Mapping[str, str]:
        """Text entries that came with the tensors."""
        ...

    def tensor(self, key: str) -> Tensor:
        """The tensor as stored; never to be written."""
        ...


class HeldTensors:
    """Tensors in memory, such as those of an adapter that was just trained. They must not be written afterwards."""

    def __init__(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
        self._tensors = {key: tensor.detach() for key, tensor in tensors.items()}
        self.shapes: Mapping[str, tuple[int, ...]] = {key: tuple(value.shape) for key, value in self._tensors.items()}
        self.metadata: Mapping[str, str] = MappingProxyType(dict(metadata or {}))
        self.identity = digest_bytes(*(_content(key, self._tensors[key]) for key in sorted(self._tensors)))

    def tensor(self, key: str) -> Tensor:
        """The tensor called `key`."""
        return self._tensors[key]


class ModuleTensors(Protocol):
    """The tensors an adapter has for one module of a network, by their role ("lora_up", "alpha" …)."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of every tensor there is, by role."""
        ...

    @property
    def alpha(self) -> float | None:
        """The number that scales the change, before it is divided by the rank; None when nothing was said."""
        ...

    def read(self, role: str, like: Tensor) -> Tensor:
        """A tensor in float32 on the device of `like`."""
        ...


@dataclass(frozen=True, slots=True)
class StoredModule:
    """One module's part of a source: role → key. `given_alpha` is what the source's metadata says about alpha."""

    source: TensorSource = field(repr=False)
    keys: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    given_alpha: float | None = None

    @property
    def alpha(self) -> float | None:
        """The stored alpha, else that of the metadata."""
        return float(self.source.tensor(self.keys[ALPHA])) if ALPHA in self.keys else self.given_alpha

    def read(self, role: str, like: Tensor) -> Tensor:
        """A tensor in float32 on the device of `like`."""
        return self.source.tensor(self.keys[role]).to(like.device, torch.float32)


class Change(Protocol):
    """What one algorithm makes of one weight. Immutable; differentiable in the tensors it was made from."""

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a weight of this shape can be changed; looks at shapes alone."""
        ...

    def change(self, weight: Tensor) -> Tensor:
        """The difference at strength 1 for a weight in float32 (or wider), of the weight's shape and device."""
        ...


def scale_of(tensors: ModuleTensors, rank: int) -> float:
    """alpha / rank, or 1 without an alpha. Source: Hu et al. 2021, arXiv:2106.09685, section 4.1."""
    alpha = tensors.alpha
    return 1.0 if alpha is None else alpha / rank


def _content(key: str, tensor: Tensor) -> bytes:
    flat = tensor.cpu().contiguous().reshape(-1)
    raw = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
    return f"{key} {tensor.dtype} {list(tensor.shape)} {digest_bytes(raw)}".encode()
