"""An adapter as one weight patch of one network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from engine.weights.adapters.difference import Difference
from engine.weights.adapters.dora import LearnedLengths
from engine.weights.adapters.glora import MixedInputs
from engine.weights.adapters.loha import HadamardProduct
from engine.weights.adapters.lokr import KroneckerProduct
from engine.weights.adapters.lora import LowRank
from engine.weights.adapters.oft import OrthogonalTurn
from engine.weights.adapters.tensors import Change, ModuleTensors

__all__ = ["AdapterPatch", "bias_change", "weight_change"]

_ALGORITHMS: tuple[Callable[[ModuleTensors], Change | None], ...] = (
    LowRank.of, HadamardProduct.of, KroneckerProduct.of, OrthogonalTurn.of, MixedInputs.of, Difference.of,
)  # fmt: skip


def weight_change(tensors: ModuleTensors) -> Change | None:
    """What the tensors do to their module's weight; None when they are of no known algorithm, or incomplete."""
    for algorithm in _ALGORITHMS:
        change = algorithm(tensors)
        if change is not None:
            return LearnedLengths.around(change, tensors)
    return None


def bias_change(tensors: ModuleTensors) -> Change | None:
    """What the tensors do to their module's bias; None for nothing."""
    return Difference.of_bias(tensors)


@dataclass(frozen=True, slots=True)
class AdapterPatch:
    """Changes of weights by name, at one strength (of either sign). Fulfils `engine.weights.patches.WeightPatch`.

    Tensors are read as weights are prepared and computed with in float32, whatever the weight's dtype.
    """

    identity: str
    changes: Mapping[str, Change] = field(repr=False)
    strength: float = 1.0

    @property
    def names(self) -> frozenset[str]:
        """The weights it changes."""
        return frozenset(self.changes)

    def apply(self, name: str, weight: Tensor) -> Tensor:
        """The changed weight, in place of the private copy."""
        is_wide = weight.dtype in (torch.float32, torch.float64)
        wide = weight if is_wide else weight.float()
        difference = self.changes[name].change(wide)
        changed = wide.add_(difference, alpha=self.strength)
        return changed if is_wide else weight.copy_(changed)
