"""Giving a network built without storage its weights, as a plan says: kept, used where mapped, cast or streamed.

Weights appear as plain attributes of their layer, in front of the empty parameters the network was built with; taking
them away again leaves the network as it was. Layers that are prepared for each use carry two hooks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from engine.memory.device import Device
from engine.memory.residency import LayerSizes, Placement, ResidencyPlan
from engine.memory.transfer import Prefetcher
from engine.weights.patches import NO_PATCHES, PatchSet
from engine.weights.remap import WeightSpec

__all__ = ["BoundNetwork", "WeightSource"]

_STREAMABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.GroupNorm, nn.LayerNorm)
_ALIGNMENT_BYTES = 64


class WeightSource(Protocol):
    """Weights of one network by its own names; `engine.weights.remap.WeightReader` is one."""

    @property
    def specs(self) -> Mapping[str, WeightSpec]:
        """Shape and stored dtype of every weight."""
        ...

    def read(self, name: str) -> torch.Tensor:
        """The stored weight, a view that must not be written."""
        ...

    def prefetch(self, names: Iterable[str]) -> None:
        """These weights will be read soon."""
        ...

    def release(self, names: Iterable[str]) -> None:
        """These weights will not be read soon."""
        ...


@dataclass(frozen=True, slots=True)
class _Layer:
    """A module with weights of its own: attribute name → full weight name."""

    name: str
    module: nn.Module
    weights: Mapping[str, str]
    is_streamable: bool
    keeps_dtype: bool


class BoundNetwork:
    """A network, where its weights come from, and where they are now. Used by one thread at a time."""

    def __init__(self, module: nn.Module, source: WeightSource, device: Device, dtype: torch.dtype) -> None:
        self.module = module.eval().requires_grad_(False)
        self.source = source
        self.device = device
        self.dtype = dtype
        self.plan: ResidencyPlan | None = None
        self.patches = NO_PATCHES
        self._layers = {layer.name: layer for layer in _find_layers(module, source)}
        self._hooks: list[Any] = []
        self._scratch: torch.Tensor | None = None
        self._prefetcher: Prefetcher | None = None

    @property
    def resident_bytes(self) -> int:
        """What this network holds on the device between forwards."""
        return 0 if self.plan is None else self.plan.resident_bytes

    def layer_sizes(self, patches: PatchSet) -> list[LayerSizes]:
        """Sizes of all layers in execution order, for planning."""
        return [self._sizes(layer, patches) for layer in self._layers.values()]

    def apply(self, plan: ResidencyPlan, patches: PatchSet) -> None:
        """Put the weights where the plan wants them. Layers whose place and patches are unchanged are not touched."""
        before, old_patches = self.plan, self.patches
        self._remove_hooks()
        self.plan = None
        self.source.prefetch(self._to_read(plan, before))
        used_on_demand: list[_Layer] = []
        for layer in self._layers.values():
            placement = plan.placements[layer.name]
            if placement in (Placement.CAST_ON_USE, Placement.STREAMED):
                self._hide(layer)
                used_on_demand.append(layer)
                continue
            names = layer.weights.values()
            is_same = before is not None and before.placements[layer.name] is placement
            if is_same and _same_patches(names, old_patches, patches):
                continue
            self._hide(layer)
            for attribute, name in layer.weights.items():
                is_mapped = placement is Placement.MAPPED
                weight = self.source.read(name) if is_mapped else self._prepared(layer, name, patches)
                layer.module.__dict__[attribute] = weight
            if placement is Placement.RESIDENT:
                self.source.release(names)
        self.patches = patches
        self._install(used_on_demand, plan)
        self.plan = plan

    def _to_read(self, plan: ResidencyPlan, before: ResidencyPlan | None) -> list[str]:
        """Names of the weights that a plan reads and the one before did not keep."""
        return [
            name
            for layer in self._layers.values()
            if before is None or before.placements[layer.name] is not plan.placements[layer.name]
            for name in layer.weights.values()
        ]

    def unload(self) -> None:
        """Give up everything held; the network can be bound again."""
        self._remove_hooks()
        for layer in self._layers.values():
            self._hide(layer)
        self.source.release(self.source.specs)
        self.plan, self.patches = None, NO_PATCHES

    def _sizes(self, layer: _Layer, patches: PatchSet) -> LayerSizes:
        specs = [self.source.specs[name] for name in layer.weights.values()]
        stored = sum(spec.num_bytes for spec in specs)
        compute = stored if layer.keeps_dtype else sum(spec.num_elements * self.dtype.itemsize for spec in specs)
        return LayerSizes(
            layer.name,
            stored,
            compute,
            layer.is_streamable,
            patches.touches(layer.weights.values()),
            not layer.keeps_dtype and any(spec.dtype != self.dtype for spec in specs),
        )

    def _prepared(self, layer: _Layer, name: str, patches: PatchSet) -> torch.Tensor:
        """A private copy of a weight on the device in the dtype it is used in, patches applied."""
        stored = self.source.read(name)
        dtype = stored.dtype if layer.keeps_dtype else self.dtype
        weight = stored.to(self.device.torch, dtype, copy=True)
        return patches.apply(name, weight)

    def _install(self, layers: list[_Layer], plan: ResidencyPlan) -> None:
        """Hooks for the layers that are prepared for each use."""
        if not layers:
            return
        if self.device.shares_host_memory:
            slack = _ALIGNMENT_BYTES * max(len(layer.weights) for layer in layers)
            self._scratch = torch.empty(plan.scratch_bytes + slack, dtype=torch.uint8)
            for layer in layers:
                self._hook(layer, self._cast_in)
            return
        weights = {layer.name: tuple(layer.weights.values()) for layer in layers}
        self._prefetcher = Prefetcher(self.source, self.device, self.dtype, weights)
        for layer in layers:
            self._hook(layer, self._stream_in)

    def _hook(self, layer: _Layer, bring_in: Callable[[_Layer], None]) -> None:
        def before(module: nn.Module, arguments: Any) -> None:
            bring_in(layer)

        def after(module: nn.Module, arguments: Any, output: Any) -> None:
            self._hide(layer)

        self._hooks.append(layer.module.register_forward_pre_hook(before))
        self._hooks.append(layer.module.register_forward_hook(after, always_call=True))

    def _cast_in(self, layer: _Layer) -> None:
        """Cast a layer's weights into the scratch buffer; streamable layers never nest, so one buffer serves all."""
        assert self._scratch is not None
        position = 0
        for attribute, name in layer.weights.items():
            spec = self.source.specs[name]
            stop = position + spec.num_elements * self.dtype.itemsize
            weight = self._scratch[position:stop].view(self.dtype).view(spec.shape)
            weight.copy_(self.source.read(name))
            layer.module.__dict__[attribute] = self.patches.apply(name, weight)
            position = -(-stop // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES

    def _stream_in(self, layer: _Layer) -> None:
        assert self._prefetcher is not None
        arrived = self._prefetcher.take(layer.name)
        for attribute, name in layer.weights.items():
            layer.module.__dict__[attribute] = self.patches.apply(name, arrived[name])

    def _hide(self, layer: _Layer) -> None:
        for attribute in layer.weights:
            layer.module.__dict__.pop(attribute, None)

    def _remove_hooks(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._scratch = None
        if self._prefetcher is not None:
            self._prefetcher.close()
            self._prefetcher = None


def _same_patches(names: Iterable[str], old: PatchSet, new: PatchSet) -> bool:
    if old.identity == new.identity:
        return True
    wanted = tuple(names)
    return not old.touches(wanted) and not new.touches(wanted)


def _find_layers(module: nn.Module, source: WeightSource) -> Iterable[_Layer]:
    for path, layer in module.named_modules():
        names = {key: f"{path}.{key}" if path else key for key, _ in layer.named_parameters(recurse=False)}
        present = {key: name for key, name in names.items() if name in source.specs}
        if present:
            keeps_dtype = bool(getattr(layer, "casts_after_lookup", False))
            yield _Layer(path, layer, present, isinstance(layer, _STREAMABLE), keeps_dtype)
