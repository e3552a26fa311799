"""Filling a module with the weights of a file, for parts of a model that are not trained from nothing."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

__all__ = ["StoredWeights", "load_weights"]


class StoredWeights(Protocol):
    """Weights by a module's own names, such as `engine.weights.remap.WeightReader`."""

    def read(self, name: str) -> Tensor:
        """The stored weight, in the module's shape."""
        ...


@torch.no_grad()
def load_weights(module: nn.Module, weights: StoredWeights) -> None:
    """Copy every weight of the module from the file, cast to the module's dtype."""
    for name, parameter in module.state_dict(keep_vars=True).items():
        parameter.copy_(weights.read(name))
