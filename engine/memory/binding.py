"""Giving a network built without storage its weights, as a plan says: kept, used where mapped, cast or streamed.

Weights appear as plain attributes of their layer, in front of the empty parameters the network was built with; taking
them away again leaves the network as it was. Layers that are prepared for each use carry two hooks.

A storage dtype narrower than the compute dtype is for the matrices and kernels of linear and convolution layers, which
are nearly all of a network. Their biases, norms, tables of positions and other bare parameters stay in the compute
dtype: they are a thousandth of the bytes, every value of an output hangs on one of them, and only a layer that is
called as a whole can be cast around its call. A token table stays in the file's dtype, since only the rows that are
looked up are ever cast.

Rounding to the storage dtype comes before patches, wherever a weight is: a patch is applied to the cast copy at each
use. A LoRA's change is often smaller than the gap between two neighbouring values of eight bits and would be rounded
away; applied afterwards it is exact, costs nothing to take off, and "held in eight bits" means for every plan the same
as a file whose weights were rounded beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol

import torch
from torch import nn

from engine.memory.device import Device
from engine.memory.meter import uncounted
from engine.memory.precision import is_storage_only, rounded
from engine.memory.residency import LayerSizes, Placement, ResidencyPlan
from engine.memory.transfer import Prefetcher
from engine.memory.widening import widen
from engine.weights.patches import NO_PATCHES, PatchSet
from engine.weights.remap import WeightSpec

__all__ = ["BoundNetwork", "WeightSource"]

_NARROWABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_STREAMABLE = (*_NARROWABLE, nn.GroupNorm, nn.LayerNorm)
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
    """A module with weights of its own: attribute name → full weight name. `narrow`: those in the storage dtype."""

    name: str
    module: nn.Module
    weights: Mapping[str, str]
    is_streamable: bool
    keeps_dtype: bool
    narrow: frozenset[str]
    gains_by_packing: bool


class BoundNetwork:
    """A network, where its weights come from, and where they are now. Used by one thread at a time.

    dtype: what it computes in. storage: what matrices and kernels are held in between forwards; one that is not a
    one-byte float is the compute dtype.
    """

    def __init__(
        self,
        module: nn.Module,
        source: WeightSource,
        device: Device,
        dtype: torch.dtype,
        storage: torch.dtype | None = None,
    ) -> None:
        self.module = module.eval().requires_grad_(False)
        self.source = source
        self.device = device
        self.dtype = dtype
        self.storage = storage or dtype
        self.plan: ResidencyPlan | None = None
        self.patches = NO_PATCHES
        self._layers = {layer.name: layer for layer in _find_layers(module, source, is_storage_only(self.storage))}
        self._narrow = frozenset(name for layer in self._layers.values() for name in layer.narrow)
        keeping = [layer for layer in self._layers.values() if layer.keeps_dtype]
        self._dtype_kept = frozenset(name for layer in keeping for name in layer.weights.values())
        self._held: dict[str, torch.Tensor] = {}
        self._hooks: list[Any] = []
        self._scratch: torch.Tensor | None = None
        self._scratch_bytes = 0
        self._prefetcher: Prefetcher | None = None

    @property
    def resident_bytes(self) -> int:
        """What this network holds on the device between forwards."""
        return 0 if self.plan is None else self.plan.resident_bytes

    def layer_sizes(self, patches: PatchSet) -> list[LayerSizes]:
        """Sizes of all layers in execution order, for planning."""
        return [self._sizes(layer, patches) for layer in self._layers.values()]

    def apply(
        self, plan: ResidencyPlan, patches: PatchSet, early: Mapping[str, torch.Tensor] = MappingProxyType({})
    ) -> None:
        """Put the weights where the plan wants them. Layers whose place and patches are unchanged are not touched.

        early: weights that `fetch` has brought already, which become the network's own.
        """
        before, old_patches = self.plan, self.patches
        self._remove_hooks()
        self.plan = None
        self.source.prefetch(name for name in self._to_read(plan, before) if name not in early)
        used_on_demand: list[_Layer] = []
        for layer in self._layers.values():
            placement = plan.placements[layer.name]
            if placement in (Placement.CAST_ON_USE, Placement.STREAMED):
                self._drop(layer)
                used_on_demand.append(layer)
                continue
            if before is None or before.placements[layer.name] is not placement:
                self._drop(layer)
            for attribute, name in layer.weights.items():
                is_here = name in self._held or attribute in layer.module.__dict__
                if is_here and (name in self._narrow or _same_patches(name, old_patches, patches)):
                    continue
                self._keep(layer, attribute, name, placement, patches, early)
            if placement is Placement.RESIDENT:
                self.source.release(layer.weights.values())
        self.patches = patches
        self._install(used_on_demand)
        self.plan = plan

    def _to_read(self, plan: ResidencyPlan, before: ResidencyPlan | None) -> list[str]:
        """Names of the weights that a plan is going to read: all at first, later those it keeps and did not keep."""
        return [
            name
            for layer in self._layers.values()
            if before is None
            or (
                plan.placements[layer.name] is Placement.RESIDENT
                and before.placements[layer.name] is not Placement.RESIDENT
            )
            for name in layer.weights.values()
        ]

    def rest(self) -> None:
        """Give up what is only needed while forwards follow each other: the scratch buffer, layers on their way."""
        self._scratch = None
        if self._prefetcher is not None:
            self._prefetcher.close()

    def unload(self) -> None:
        """Give up everything held; the network can be bound again."""
        self._remove_hooks()
        for layer in self._layers.values():
            self._drop(layer)
        self.source.release(self.source.specs)
        self.plan, self.patches = None, NO_PATCHES

    def _sizes(self, layer: _Layer, patches: PatchSet) -> LayerSizes:
        specs = {name: self.source.specs[name] for name in layer.weights.values()}
        stored = sum(spec.num_bytes for spec in specs.values())
        compute = stored if layer.keeps_dtype else sum(s.num_elements * self.dtype.itemsize for s in specs.values())
        saved = self.dtype.itemsize - self.storage.itemsize
        return LayerSizes(
            layer.name,
            stored,
            compute,
            layer.is_streamable,
            patches.touches(layer.weights.values()),
            bool(layer.narrow) or (not layer.keeps_dtype and any(s.dtype != self.dtype for s in specs.values())),
            compute - sum(specs[name].num_elements * saved for name in layer.narrow) if layer.narrow else None,
            self._packs(layer),
        )

    def _packs(self, layer: _Layer) -> bool:
        """Whether the layer may keep its kernel in the order that the CPU's library wants it in."""
        return (
            layer.gains_by_packing
            and not layer.narrow
            and self.device.kind == "cpu"
            and self.device.shares_host_memory
            and self.dtype is torch.float32
        )

    def fetch(self, name: str) -> torch.Tensor:
        """A private copy of a weight on the device, as it is kept there but for patches. Any thread."""
        stored = self.source.read(name)
        if name in self._narrow:
            return rounded(stored.to(self.device.torch, copy=True), self.storage)
        dtype = stored.dtype if name in self._dtype_kept else self.dtype
        return stored.to(self.device.torch, dtype, copy=True)

    def weights_of(self, layers: Iterable[str]) -> list[str]:
        """Names of the weights of these layers, in their order."""
        return [name for layer in layers for name in self._layers[layer].weights.values()]

    def _keep(
        self,
        layer: _Layer,
        attribute: str,
        name: str,
        placement: Placement,
        patches: PatchSet,
        early: Mapping[str, torch.Tensor],
    ) -> None:
        """Bring one weight where it stays: narrow ones aside, for the hook to cast; others into their layer."""
        layer.module.__dict__.pop(attribute, None)
        if placement is Placement.MAPPED:
            layer.module.__dict__[attribute] = self.source.read(name)
            return
        if attribute == "weight" and self._packs(layer):
            layer.module.__dict__["on_packed"] = partial(self.source.release, (name,))
            if self.source.specs[name].dtype == self.dtype and not patches.touches((name,)):
                layer.module.__dict__[attribute] = self.source.read(name)  # its packed copy is the private one
                return
        weight = early[name] if name in early else self.fetch(name)
        if name in self._narrow:
            self._held[name] = weight
        else:
            layer.module.__dict__[attribute] = patches.apply(name, weight)

    def _install(self, on_demand: list[_Layer]) -> None:
        """Hooks for the layers that are prepared for each use."""
        cast = [layer for layer in self._layers.values() if not layer.narrow.isdisjoint(self._held)]
        if self.device.shares_host_memory:
            cast += on_demand
        elif on_demand:
            weights = {layer.name: tuple(layer.weights.values()) for layer in on_demand}
            self._prefetcher = Prefetcher(self.source, self.device, self._converted, weights)
            for layer in on_demand:
                self._hook(layer, self._stream_in)
        if cast:
            slack = _ALIGNMENT_BYTES * max(len(layer.weights) for layer in cast)
            self._scratch_bytes = slack + max(self._sizes(layer, NO_PATCHES).compute_bytes for layer in cast)
            for layer in cast:
                self._hook(layer, self._cast_in)

    def _converted(self, name: str, stored: torch.Tensor) -> torch.Tensor:
        """A weight in the compute dtype, by way of the storage dtype if it is held in that."""
        return (rounded(stored, self.storage) if name in self._narrow else stored).to(self.dtype)

    def _hook(self, layer: _Layer, bring_in: Callable[[_Layer], None]) -> None:
        kept = frozenset(layer.module.__dict__).intersection(layer.weights)

        def before(module: nn.Module, arguments: Any) -> None:
            with uncounted():
                bring_in(layer)

        def after(module: nn.Module, arguments: Any, output: Any) -> None:
            for attribute in layer.weights:
                if attribute not in kept:
                    module.__dict__.pop(attribute, None)

        self._hooks.append(layer.module.register_forward_pre_hook(before))
        self._hooks.append(layer.module.register_forward_hook(after, always_call=True))

    def _cast_in(self, layer: _Layer) -> None:
        """Cast a layer's weights into the scratch buffer; streamable layers never nest, so one buffer serves all."""
        if self._scratch is None:
            self._scratch = torch.empty(self._scratch_bytes, dtype=torch.uint8, device=self.device.torch)
        position = 0
        is_kept = not layer.narrow.isdisjoint(self._held)
        for attribute, name in layer.weights.items():
            if is_kept and name not in layer.narrow:
                continue
            spec = self.source.specs[name]
            stop = position + spec.num_elements * self.dtype.itemsize
            weight = self._scratch[position:stop].view(self.dtype).view(spec.shape)
            widen(self._held[name] if name in self._held else self._as_held(name), weight)
            layer.module.__dict__[attribute] = self.patches.apply(name, weight)
            position = -(-stop // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES

    def _as_held(self, name: str) -> torch.Tensor:
        """The stored weight with the values it would have if it were kept."""
        stored = self.source.read(name)
        return rounded(stored, self.storage) if name in self._narrow else stored

    def _stream_in(self, layer: _Layer) -> None:
        assert self._prefetcher is not None
        arrived = self._prefetcher.take(layer.name)
        for attribute, name in layer.weights.items():
            layer.module.__dict__[attribute] = self.patches.apply(name, arrived[name])

    def _drop(self, layer: _Layer) -> None:
        """Give up what is kept of a layer."""
        layer.module.__dict__.pop("on_packed", None)
        for attribute, name in layer.weights.items():
            layer.module.__dict__.pop(attribute, None)
            self._held.pop(name, None)

    def _remove_hooks(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._scratch = None
        if self._prefetcher is not None:
            self._prefetcher.close()
            self._prefetcher = None


def _same_patches(name: str, old: PatchSet, new: PatchSet) -> bool:
    return old.identity == new.identity or not (old.touches((name,)) or new.touches((name,)))


def _find_layers(module: nn.Module, source: WeightSource, has_narrow: bool) -> Iterable[_Layer]:
    specs = source.specs
    for path, layer in module.named_modules():
        names = {key: f"{path}.{key}" if path else key for key, _ in layer.named_parameters(recurse=False)}
        present = {key: name for key, name in names.items() if name in specs}
        if present:
            is_narrowable = has_narrow and isinstance(layer, _NARROWABLE)
            narrow = frozenset(name for name in present.values() if is_narrowable and len(specs[name].shape) > 1)
            keeps_dtype = bool(getattr(layer, "casts_after_lookup", False))
            gains = bool(getattr(layer, "gains_by_packing", False))
            yield _Layer(path, layer, present, isinstance(layer, _STREAMABLE), keeps_dtype, narrow, gains)
