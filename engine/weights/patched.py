"""Weights as a network uses them: what a source stores, after the patches of its handle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from engine.core.digest import digest_value
from engine.weights.patches import NO_PATCHES, PatchSet
from engine.weights.remap import WeightSpec

__all__ = ["FinalWeights", "JoinedWeights", "PatchedWeights", "StoredWeights"]


class FinalWeights(Protocol):
    """Weights by name as they are computed with; those of one network, or of several together."""

    @property
    def identity(self) -> str:
        """Equal identity, equal weights."""
        ...

    @property
    def specs(self) -> Mapping[str, WeightSpec]:
        """Shape and stored dtype of every weight."""
        ...

    def read(self, name: str, device: torch.device | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
        """A private copy of the weight."""
        ...


class StoredWeights(Protocol):
    """Weights by name; `engine.weights.remap.WeightReader` is one."""

    @property
    def specs(self) -> Mapping[str, WeightSpec]:
        """Shape and stored dtype of every weight."""
        ...

    def read(self, name: str) -> Tensor:
        """The stored weight, a view that must not be written."""
        ...

    def release(self, names: Iterable[str]) -> None:
        """These weights will not be read soon."""
        ...


@dataclass(frozen=True, slots=True)
class PatchedWeights:
    """A source and what is patched onto it. `source_identity`: equal for equal sources."""

    source_identity: str
    source: StoredWeights = field(repr=False, compare=False)
    patches: PatchSet = NO_PATCHES

    @property
    def identity(self) -> str:
        """Equal identity, equal weights."""
        return digest_value([self.source_identity, self.patches.identity])

    @property
    def specs(self) -> Mapping[str, WeightSpec]:
        """Shape and stored dtype of every weight."""
        return self.source.specs

    def read(self, name: str, device: torch.device | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
        """A private copy of the weight after all patches, in this dtype; patches are applied in it."""
        weight = self.source.read(name).to(device or "cpu", dtype, copy=True)
        self.source.release([name])
        return self.patches.apply(name, weight)


@dataclass(frozen=True, slots=True)
class JoinedWeights:
    """The weights of several networks as one, each below a prefix of its own."""

    parts: Mapping[str, FinalWeights]

    @property
    def identity(self) -> str:
        """Equal identity, equal weights."""
        return digest_value([[prefix, part.identity] for prefix, part in self.parts.items()])

    @property
    def specs(self) -> Mapping[str, WeightSpec]:
        """Shape and stored dtype of every weight."""
        return {prefix + name: spec for prefix, part in self.parts.items() for name, spec in part.specs.items()}

    def read(self, name: str, device: torch.device | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
        """A private copy of the weight."""
        prefix = next(prefix for prefix in self.parts if name.startswith(prefix))
        return self.parts[prefix].read(name[len(prefix) :], device, dtype)
