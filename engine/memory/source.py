"""What a host needs to know of a network to load it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from engine.core.digest import digest_value
from engine.memory.binding import WeightSource
from engine.memory.precision import Part

__all__ = ["NetworkSource"]


@dataclass(frozen=True, slots=True)
class NetworkSource:
    """A network that can be loaded: how to build it without storage, and where its weights come from.

    identity: equal identity, equal function. part: decides the dtypes. repeats: runs once per step rather than
    once per prompt or picture. storage: what its matrices and kernels are held in, compute: what it computes in; None
    for the policy's choice. file: name of the file its weights come from, by which people know it.
    """

    identity: str
    part: Part
    build: Callable[[], nn.Module] = field(compare=False)
    weights: WeightSource = field(compare=False)
    repeats: bool = False
    storage: torch.dtype | None = None
    compute: torch.dtype | None = None
    file: str = field(default="", compare=False)

    @property
    def title(self) -> str:
        """The network as a report names it."""
        part = self.part.replace("_", " ")
        return f"{part} of {self.file}" if self.file else part

    def computed_in(self, dtype: torch.dtype) -> NetworkSource:
        """The same network computing in this dtype, whatever the policy says."""
        identity = digest_value([self.identity, "computed in", str(dtype)])
        return replace(self, identity=identity, compute=dtype)
