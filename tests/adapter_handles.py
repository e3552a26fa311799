"""A network as adapters see it: names and shapes, and the patches it was given."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.families.adapters.text_names import TextNames
from engine.families.adapters.unet_names import unet_module_names
from engine.nn.unet import UNetConfig
from engine.weights.patches import NO_PATCHES, PatchSet

__all__ = ["LayoutSource", "NamedHandle", "module_names", "text_handle", "unet_handle"]

LAYOUTS = Path(__file__).parent / "data" / "layouts"


@dataclass(frozen=True)
class NamedHandle:
    """A MODEL or CLIP of names and shapes alone."""

    adapter_modules: Mapping[str, str]
    weight_shapes: Mapping[str, tuple[int, ...]]
    patches: PatchSet = NO_PATCHES

    def with_patches(self, patches: PatchSet) -> NamedHandle:
        return replace(self, patches=self.patches.plus(patches))


@dataclass(frozen=True)
class LayoutSource:
    """The keys and shapes of a published adapter file; its tensors are zeros, made when read."""

    name: str
    shapes: Mapping[str, tuple[int, ...]] = field(init=False)
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with gzip.open(LAYOUTS / f"{self.name}.json.gz", "rt") as stream:
            layout = json.load(stream)
        object.__setattr__(self, "shapes", {key: tuple(shape) for key, (_, shape) in layout["tensors"].items()})

    @property
    def identity(self) -> str:
        return self.name

    def tensor(self, key: str) -> Tensor:
        return torch.zeros(self.shapes[key])


def module_names(network: nn.Module) -> list[str]:
    """Modules with weights of their own."""
    return list(dict.fromkeys(name.rpartition(".")[0] for name in network.state_dict()))


def _shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in network.state_dict().items()}


def unet_handle(network: nn.Module, config: UNetConfig) -> NamedHandle:
    return NamedHandle(unet_module_names(config, module_names(network)), _shapes(network))


def text_handle(network: nn.Module, names: TextNames) -> NamedHandle:
    return NamedHandle(names.modules(module_names(network)), _shapes(network))
