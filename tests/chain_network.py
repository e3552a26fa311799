"""A network of a few linear layers with its weights in memory, for tests of loading and streaming."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from engine.memory.network import NetworkSource
from engine.nn.layers import Linear
from engine.weights.patches import NO_PATCHES, PatchSet
from engine.weights.remap import WeightSpec

__all__ = ["LAYER_BYTES", "PATCHES", "WIDTH", "Chain", "MemoryWeights", "X", "chain", "expected"]

WIDTH = 64
LAYER_BYTES = (WIDTH * WIDTH + WIDTH) * 4


class Chain(nn.Module):
    """Linear layers one after the other, and a parameter of the chain's own."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.empty(WIDTH))
        self.layers = nn.ModuleList(Linear(WIDTH, WIDTH) for _ in range(length))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return x + self.shift


class MemoryWeights:
    """Weights in memory that count how often each is read."""

    def __init__(self, length: int, dtype: torch.dtype, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        names = {"shift": (WIDTH,)}
        for index in range(length):
            names |= {f"layers.{index}.weight": (WIDTH, WIDTH), f"layers.{index}.bias": (WIDTH,)}
        self.tensors = {n: (torch.randn(s, generator=generator) / 8).to(dtype) for n, s in names.items()}
        self.reads: dict[str, int] = dict.fromkeys(names, 0)

    @property
    def specs(self) -> Mapping[str, WeightSpec]:
        return {name: WeightSpec(tuple(t.shape), t.dtype) for name, t in self.tensors.items()}

    def read(self, name: str) -> torch.Tensor:
        self.reads[name] += 1
        return self.tensors[name]

    def prefetch(self, names: Iterable[str]) -> None:
        assert set(names) <= set(self.tensors)

    def release(self, names: Iterable[str]) -> None:
        assert set(names) <= set(self.tensors)


@dataclass(frozen=True)
class AddOne:
    name: str = "layers.1.weight"
    identity: str = "add one"

    @property
    def names(self) -> frozenset[str]:
        return frozenset({self.name})

    def apply(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        return weight.add_(1)


PATCHES = PatchSet((AddOne(),))


def chain(
    length: int = 4, dtype: torch.dtype = torch.float16, identity: str = "chain", **options: bool
) -> NetworkSource:
    weights = MemoryWeights(length, dtype)
    return NetworkSource(identity, "network", lambda: Chain(length), weights, **{"repeats": True, **options})


def expected(source: NetworkSource, x: torch.Tensor, patches: PatchSet = NO_PATCHES) -> torch.Tensor:
    network = source.build()
    weights = {n: patches.apply(n, t.float().clone()) for n, t in source.weights.tensors.items()}  # type: ignore[attr-defined]
    network.load_state_dict(weights)
    with torch.no_grad():
        return network(x)


X = torch.linspace(-1, 1, 2 * WIDTH).view(2, WIDTH)
