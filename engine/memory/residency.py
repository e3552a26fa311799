"""Planning in bytes: which weights stay on the device, which are cast or streamed as they are used.

A plan is made before a forward, from sizes alone; nothing is allocated here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from engine.core.errors import OutOfMemory

__all__ = [
    "LayerSizes",
    "MemoryMode",
    "Placement",
    "ResidencyPlan",
    "in_order_of_keeping",
    "plan_residency",
    "when_not_kept",
]


class Placement(Enum):
    """Where a layer's weights are between forwards."""

    MAPPED = "mapped"
    """In the mapped file, used from there as they are: costs no memory of ours."""
    RESIDENT = "resident"
    """On the device in the storage dtype, which is the compute dtype unless a narrower one was asked for."""
    CAST_ON_USE = "cast_on_use"
    """Where the device can reach them in the stored dtype; cast into a scratch buffer for each use."""
    STREAMED = "streamed"
    """In host memory or the mapped file; copied to the device for each use."""


class MemoryMode(Enum):
    """How much a forward may keep on the device."""

    KEEP = "keep"
    """Everything that fits."""
    STREAM = "stream"
    """Nothing but what cannot be streamed."""


@dataclass(frozen=True, slots=True)
class LayerSizes:
    """One layer's weights in bytes.

    stored_bytes, compute_bytes: size in the file's dtype and in the compute dtype.
    is_streamable: may be brought in for each use; others always stay.
    is_patched: a patch changes it, so it costs work each time it is prepared.
    needs_cast: the weights cannot be used as the file has them.
    narrow_bytes: size as kept on the device when that is in a dtype narrower than the compute dtype; None when the two
    are the same. Such a layer is cast for each use wherever it is.
    gains_by_packing: it could be used as the file has it, but is quicker with a copy of its own, in another order.
    """

    name: str
    stored_bytes: int
    compute_bytes: int
    is_streamable: bool = True
    is_patched: bool = False
    needs_cast: bool = False
    narrow_bytes: int | None = None
    gains_by_packing: bool = False

    @property
    def kept_bytes(self) -> int:
        """What keeping it on the device costs between forwards."""
        return self.compute_bytes if self.narrow_bytes is None else self.narrow_bytes


@dataclass(frozen=True, slots=True)
class ResidencyPlan:
    """Placement of every layer, and what it costs.

    resident_bytes: held on the device between forwards. scratch_bytes: further device memory while a forward runs.
    moved_bytes: read from where they are stored in each forward.
    """

    placements: Mapping[str, Placement]
    resident_bytes: int
    scratch_bytes: int
    moved_bytes: int

    @property
    def peak_bytes(self) -> int:
        """Device memory weights take at most."""
        return self.resident_bytes + self.scratch_bytes


def plan_residency(
    layers: Sequence[LayerSizes],
    *,
    budget_bytes: int,
    host_is_device: bool,
    repeats: bool,
    mode: MemoryMode = MemoryMode.KEEP,
    what: str = "network",
) -> ResidencyPlan:
    """Place every layer so that weights take at most `budget_bytes` of the device.

    Args:
        layers: in execution order.
        budget_bytes: what weights may take, activations already subtracted.
        host_is_device: the device computes in host memory, so stored weights are reachable where they are.
        repeats: the network runs many times (sampling) rather than once a prompt or picture. On the host, keeping a
            cast copy only pays when it is used again.
        mode: STREAM keeps nothing that can be avoided.
        what: name for the error.

    Keeping a byte saves moving it in every forward, whatever layer it belongs to, so the plan keeps as many bytes as
    fit: patched layers first (preparing them is the dearest), then the smallest (a copy has a fixed cost). What room is
    left goes to layers that gain by being packed.

    Raises OutOfMemory when even the plan that streams everything exceeds the budget.
    """
    wants_residents = mode is MemoryMode.KEEP and (repeats or not host_is_device)
    placements = {layer.name: when_not_kept(layer, host_is_device) for layer in layers}
    resident = sum(layer.kept_bytes for layer in layers if placements[layer.name] is Placement.RESIDENT)
    candidates = [layer for layer in layers if placements[layer.name] in (Placement.CAST_ON_USE, Placement.STREAMED)]
    scratch = _scratch_bytes(candidates, (), host_is_device)
    total = sum(layer.kept_bytes for layer in candidates) + _scratch_bytes((), candidates, host_is_device)
    if wants_residents and resident + total <= budget_bytes:
        kept = {layer.name for layer in candidates}
    elif resident + scratch > budget_bytes:
        raise OutOfMemory(
            f"The {what} needs at least {_mib(resident + scratch)} for its weights; "
            f"{_mib(max(budget_bytes, 0))} may be used.",
            hint="Raise the memory limit, make the picture smaller, or close other programs.",
            details={"needed_bytes": resident + scratch, "budget_bytes": budget_bytes},
        )
    elif wants_residents:
        kept = _choose(candidates, budget_bytes - resident - _scratch_bytes(candidates, candidates, host_is_device))
    else:
        kept = set()
    for name in kept:
        placements[name] = Placement.RESIDENT
    resident += sum(layer.kept_bytes for layer in candidates if layer.name in kept)
    left = [layer for layer in candidates if layer.name not in kept]
    scratch = _scratch_bytes(left, [layer for layer in candidates if layer.name in kept], host_is_device)
    if wants_residents:
        mapped = [item for item in layers if item.gains_by_packing and placements[item.name] is Placement.MAPPED]
        packed = _choose(mapped, budget_bytes - resident - scratch)
        placements.update(dict.fromkeys(packed, Placement.RESIDENT))
        resident += sum(layer.kept_bytes for layer in mapped if layer.name in packed)
    moved = sum(layer.stored_bytes for layer in left)
    return ResidencyPlan(MappingProxyType(placements), resident, scratch, moved)


def when_not_kept(layer: LayerSizes, host_is_device: bool) -> Placement:
    """Where a layer's weights are that are not worth keeping, or for which there is no room."""
    if host_is_device and not layer.needs_cast and not layer.is_patched:
        return Placement.MAPPED
    if not layer.is_streamable:
        return Placement.RESIDENT
    return Placement.CAST_ON_USE if host_is_device else Placement.STREAMED


def _scratch_bytes(brought: Sequence[LayerSizes], kept: Sequence[LayerSizes], host_is_device: bool) -> int:
    """What layers need while they are used, at most: those brought in for each use, and those kept.

    One layer brought in needs its compute dtype; on an accelerator also its stored form, and the same for the next one
    on its way. A layer that is held narrow is rounded first, which takes its stored and its narrow form beside. A kept
    layer needs room only when it is held narrow. On the host one buffer serves all; on an accelerator each kind has its
    own.
    """
    for_kept = max((layer.compute_bytes for layer in kept if layer.narrow_bytes is not None), default=0)
    needs = []
    for layer in brought:
        extra = 0 if layer.narrow_bytes is None else layer.narrow_bytes
        has_stored_form = layer.narrow_bytes is not None or not host_is_device
        needs.append(layer.compute_bytes + extra + (layer.stored_bytes if has_stored_form else 0))
    needs.sort(reverse=True)
    return max([for_kept, *needs[:1]]) if host_is_device else for_kept + sum(needs[:2])


def in_order_of_keeping(layers: Sequence[LayerSizes]) -> list[LayerSizes]:
    """Layers as they are considered for keeping: those with patches first, then the smallest, then as they run; last
    those that the file's own pages would do for."""

    def rank(layer: LayerSizes) -> tuple[bool, bool, int]:
        only_gains = layer.gains_by_packing and not layer.needs_cast and not layer.is_patched
        return only_gains, not layer.is_patched, layer.kept_bytes

    return sorted(layers, key=rank)


def _choose(layers: Sequence[LayerSizes], room_bytes: int) -> set[str]:
    chosen: set[str] = set()
    for layer in in_order_of_keeping(layers):
        if layer.kept_bytes <= room_bytes:
            chosen.add(layer.name)
            room_bytes -= layer.kept_bytes
    return chosen


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / (1 << 20):.0f} MiB"
