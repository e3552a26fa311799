"""Changes to weights, applied to a private copy on its way to the device. Base weights are never written.

An adapter file (LoRA and kin) becomes `WeightPatch`es. Taking a patch off is forgetting it: the next time the weight is
prepared, it comes from the untouched file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import torch

from engine.core.digest import digest_bytes

__all__ = ["NO_PATCHES", "PatchSet", "WeightPatch"]

_WIDE_BYTES = 4


class WeightPatch(Protocol):
    """One change to some weights of one network. Immutable."""

    @property
    def identity(self) -> str:
        """Equal identity, equal change."""
        ...

    @property
    def names(self) -> frozenset[str]:
        """The network's weight names it changes."""
        ...

    def apply(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        """The changed weight. `weight` is a private copy, which may be changed in place and returned."""
        ...


@dataclass(frozen=True, slots=True)
class PatchSet:
    """Patches in the order they are applied."""

    patches: tuple[WeightPatch, ...] = ()

    @property
    def identity(self) -> str:
        """Equal identity, equal change; "" for no patches."""
        return digest_bytes(*(patch.identity.encode() for patch in self.patches)) if self.patches else ""

    @property
    def names(self) -> frozenset[str]:
        """All weight names that any patch changes."""
        return frozenset().union(*(patch.names for patch in self.patches))

    def touches(self, names: Iterable[str]) -> bool:
        """Whether any of these weights is changed."""
        return any(name in patch.names for name in names for patch in self.patches)

    def apply(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        """The weight after all patches that name it; `weight` must be a private copy.

        Several patches of a narrow weight are applied in float32, so that it is rounded once and not after each.
        """
        chosen = [patch for patch in self.patches if name in patch.names]
        is_widened = len(chosen) > 1 and weight.is_floating_point() and weight.dtype.itemsize < _WIDE_BYTES
        changed = weight.float() if is_widened else weight
        for patch in chosen:
            changed = patch.apply(name, changed)
        return weight.copy_(changed) if is_widened else changed

    def plus(self, other: PatchSet) -> PatchSet:
        """These patches, then the others."""
        return PatchSet(self.patches + other.patches)


NO_PATCHES = PatchSet()
