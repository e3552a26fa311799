"""Merging two networks of equal structure: each weight a sum of both, made as it is prepared for use.

Nothing is copied: the other network's weight is read from its file when the sum is needed. A merge is a patch like an
adapter, so the two stack in any order, and taking it off is forgetting it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

import torch
from torch import Tensor

from engine.core.digest import digest_value
from engine.core.errors import CheckpointError
from engine.weights.patched import FinalWeights
from engine.weights.patches import PatchSet

__all__ = ["MergePatch", "Mergeable", "Shares", "merge_weights"]

_MAX_ODD_WEIGHTS = 4
"""Weights that may have another size: the first and the last convolution of an inpainting or editing model."""
_MAX_NAMED = 3


@dataclass(frozen=True, slots=True)
class Shares:
    """How much of each goes into a weight: own · w₁ + other · w₂."""

    own: float
    other: float


KEEP_OWN = Shares(1.0, 0.0)


class Mergeable(Protocol):
    """What a MODEL or CLIP handle offers to merging."""

    @property
    def weights(self) -> FinalWeights:
        """Its weights with the patches it has."""
        ...

    def with_patches(self, patches: PatchSet) -> Any:
        """The same network with weight patches added."""
        ...


@dataclass(frozen=True, slots=True)
class MergePatch:
    """Adds a share of another network's weights. Fulfils `engine.weights.patches.WeightPatch`; sums in float32."""

    identity: str
    other: FinalWeights = field(repr=False)
    shares: Mapping[str, Shares] = field(repr=False)

    @property
    def names(self) -> frozenset[str]:
        """The weights it changes."""
        return frozenset(self.shares)

    def apply(self, name: str, weight: Tensor) -> Tensor:
        """The sum, in place of the private copy."""
        shares = self.shares[name]
        is_wide = weight.dtype in (torch.float32, torch.float64)
        wide = weight if is_wide else weight.float()
        if shares.own != 1.0:
            wide = wide.mul_(shares.own)
        if shares.other != 0.0:
            wide = wide.add_(self.other.read(name, wide.device, wide.dtype).reshape(wide.shape), alpha=shares.other)
        return wide if is_wide else weight.copy_(wide)


def merge_weights(
    base: Mergeable, other: Mergeable, shares: Callable[[str], Shares], warn: Callable[[str], None] | None = None
) -> Any:
    """The handle `base` with each weight it has in common with `other` replaced by their sum.

    shares: what goes into a weight, by its name. A weight of which nothing but its own is wanted is left alone; so is
    one that has another size in `other`, with a warning.

    Raises CheckpointError when the two are not of one structure.
    """
    ours, theirs = base.weights.specs, other.weights.specs
    known = [name for name in ours if name in theirs]
    odd = [name for name in known if ours[name].num_elements != theirs[name].num_elements]
    if not known or len(odd) > _MAX_ODD_WEIGHTS:
        reason = f"{len(odd)} weights have other sizes ({_some(odd)})" if odd else "they have no weight in common"
        raise CheckpointError(
            f"These models cannot be merged: {reason}.",
            code="merge_mismatch",
            hint="Merge models of one family.",
            details={"weights": odd[:50]},
        )
    if odd and warn is not None:
        warn(f"{len(odd)} weight(s) have another size in the second model and stay as they are: {_some(odd)}.")
    chosen = {name: shares(name) for name in known if name not in odd}
    chosen = {name: share for name, share in chosen.items() if share != KEEP_OWN}
    if not chosen:
        return base
    table = [[name, share.own, share.other] for name, share in sorted(chosen.items())]
    identity = digest_value(["merge", other.weights.identity, table])
    return base.with_patches(PatchSet((MergePatch(identity, other.weights, MappingProxyType(chosen)),)))


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _MAX_NAMED} more" if len(listed) > _MAX_NAMED else ""
    return ", ".join(listed[:_MAX_NAMED]) + more
