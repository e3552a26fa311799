"""Who gives way on a device that several networks share: the bytes that are cheapest to bring back, soonest.

Bringing a byte back costs reading it, and for a patched layer preparing it as well. A network that was used long ago is
less likely to be wanted soon, so cost is divided by age. Networks that take turns within a loop (a ControlNet and the
network it steers) do not push each other out: whatever one gained, both would pay again in the next step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from engine.memory.residency import (
    LayerSizes,
    MemoryMode,
    Placement,
    ResidencyPlan,
    in_order_of_keeping,
    plan_residency,
    when_not_kept,
)

__all__ = ["Need", "Turns", "need_of", "shrunk"]

_UNLIMITED = 1 << 62


@dataclass(frozen=True, slots=True)
class Need:
    """What a network's weights ask of a device.

    least_bytes: the peak with everything streamed that can be; most_bytes: with everything kept that is worth keeping.
    cost_per_byte: bytes read and prepared to bring one kept byte back.
    """

    layers: tuple[LayerSizes, ...]
    least_bytes: int
    most_bytes: int
    cost_per_byte: float


def need_of(layers: Sequence[LayerSizes], *, host_is_device: bool, repeats: bool) -> Need:
    """What these layers ask for; `repeats` as `plan_residency` has it."""
    peaks = []
    for mode in (MemoryMode.STREAM, MemoryMode.KEEP):
        plan = plan_residency(
            layers, budget_bytes=_UNLIMITED, host_is_device=host_is_device, repeats=repeats, mode=mode
        )
        peaks.append(plan.peak_bytes)
    kept = sum(layer.kept_bytes for layer in layers)
    work = sum(layer.stored_bytes + layer.compute_bytes * layer.is_patched for layer in layers)
    return Need(tuple(layers), peaks[0], peaks[1], work / max(1, kept))


@dataclass(slots=True)
class Turns:
    """When a network was used, counted in changes from one network to another.

    last, before: its newest two turns, -1 for none. length: forwards of the newest, length_before: of the one before.
    """

    last: int = -1
    before: int = -1
    length: int = 0
    length_before: int = 0

    def begin(self, turn: int) -> None:
        """Note a forward in this turn."""
        if turn == self.last:
            self.length += 1
        else:
            self.before, self.length_before = self.last, self.length
            self.last, self.length = turn, 1

    def alternates_with(self, other: Turns) -> bool:
        """Whether the two take turns of a single forward: `other` ran between the newest two turns of this one."""
        are_single = self.length == self.length_before == other.length == 1
        return are_single and other.last > self.before >= 0


def shrunk(plan: ResidencyPlan, layers: Sequence[LayerSizes], num_bytes: int, *, host_is_device: bool) -> ResidencyPlan:
    """The plan with at least this many kept bytes given up, if it keeps as many that need not stay.

    Layers go in the reverse of the order a plan keeps them in, so that the next plan finds what it would keep.
    """
    by_cost = reversed(in_order_of_keeping(layers))
    placements: dict[str, Placement] = dict(plan.placements)
    freed = 0
    for layer in by_cost:
        may_go = layer.is_streamable and placements[layer.name] is Placement.RESIDENT
        if freed < num_bytes and may_go:
            placements[layer.name] = when_not_kept(layer, host_is_device)
            freed += layer.kept_bytes
    left = [layer for layer in layers if placements[layer.name] in (Placement.CAST_ON_USE, Placement.STREAMED)]
    moved = sum(layer.stored_bytes for layer in left)
    view: Mapping[str, Placement] = MappingProxyType(placements)
    return ResidencyPlan(view, plan.resident_bytes - freed, 0, moved)
