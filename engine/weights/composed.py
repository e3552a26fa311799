"""A network's weights out of several sources, and patches that are used for some of their weights only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

import torch

from engine.core.digest import digest_value
from engine.weights.patches import PatchSet, WeightPatch
from engine.weights.remap import WeightSpec

__all__ = ["ComposedWeights", "chosen_patches"]


class _Source(Protocol):
    @property
    def specs(self) -> Mapping[str, WeightSpec]: ...

    def read(self, name: str) -> torch.Tensor: ...

    def prefetch(self, names: Iterable[str]) -> None: ...

    def release(self, names: Iterable[str]) -> None: ...


class ComposedWeights:
    """Weights by name, each from one of several sources, which know it by the same name. Immutable."""

    def __init__(self, parts: Iterable[tuple[_Source, Iterable[str]]]) -> None:
        self._parts = tuple((source, frozenset(names)) for source, names in parts)
        self._by_name = {name: source for source, names in self._parts for name in names}
        self.specs: Mapping[str, WeightSpec] = MappingProxyType(
            {name: source.specs[name] for name, source in self._by_name.items()}
        )

    def read(self, name: str) -> torch.Tensor:
        """The stored weight, a view that must not be written."""
        return self._by_name[name].read(name)

    def prefetch(self, names: Iterable[str]) -> None:
        """These weights will be read soon."""
        wanted = frozenset(names)
        for source, own in self._parts:
            source.prefetch(wanted & own)

    def release(self, names: Iterable[str]) -> None:
        """These weights will not be read soon."""
        wanted = frozenset(names)
        for source, own in self._parts:
            source.release(wanted & own)


@dataclass(frozen=True, slots=True)
class _ChosenPatch:
    """A patch for a part of its weights."""

    patch: WeightPatch
    names: frozenset[str] = field(repr=False)
    identity: str

    def apply(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        """The changed weight."""
        return self.patch.apply(name, weight)


def chosen_patches(patches: PatchSet, names: Iterable[str]) -> PatchSet:
    """The patches as far as they change weights of these names."""
    wanted = frozenset(names)
    kept = [(patch, patch.names & wanted) for patch in patches.patches]
    return PatchSet(
        tuple(_ChosenPatch(patch, own, digest_value([patch.identity, sorted(own)])) for patch, own in kept if own)
    )
