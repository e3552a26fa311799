"""A network on a host: its weights, what they ask for, and when it was used."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from engine.memory.binding import BoundNetwork
from engine.memory.early_weights import EarlyWeights
from engine.memory.ledger import MemoryLedger
from engine.memory.residency import Placement, ResidencyPlan
from engine.memory.sharing import Need, Turns, need_of
from engine.memory.source import NetworkSource
from engine.weights.patches import PatchSet

__all__ = ["LoadedNetwork"]


@dataclass(slots=True, eq=False)
class LoadedNetwork:
    """Used by the host alone.

    structure: equal for networks of equal layers. ready: what the plan in force was made for, None when it may have
    changed. early: weights that came, or are coming, before its first forward; is_expected: they were asked for.
    """

    source: NetworkSource
    network: BoundNetwork
    structure: str
    turns: Turns = field(default_factory=Turns)
    ready: tuple[object, ...] | None = None
    early: EarlyWeights | None = None
    is_expected: bool = False
    _need: tuple[tuple[object, ...], Need] | None = None

    @property
    def resident_bytes(self) -> int:
        """What it holds between forwards."""
        return self.network.resident_bytes + (0 if self.early is None else self.early.num_bytes)

    def take_early(self) -> dict[str, torch.Tensor]:
        """The weights that came before they were needed, for the caller alone; no more of them come."""
        early, self.early = self.early, None
        return {} if early is None else early.take()

    def need(self, patches: PatchSet, *, host_is_device: bool, repeats: bool) -> Need:
        """What its weights ask for with these patches; the newest answer is kept."""
        key = (patches.identity, host_is_device, repeats)
        if self._need is None or self._need[0] != key:
            layers = self.network.layer_sizes(patches)
            self._need = (key, need_of(layers, host_is_device=host_is_device, repeats=repeats))
        return self._need[1]

    def worth(self, turn: int) -> float:
        """What a kept byte is worth: the cost of bringing it back, by the turns since it was used."""
        cost = 1.0 if self._need is None else self._need[1].cost_per_byte
        return cost / max(1, turn - self.turns.last)

    def report(self, is_pinned: bool) -> dict[str, Any]:
        """Where its weights are, in bytes, as plain JSON."""
        plan, mapped = self.network.plan, 0
        if plan is not None:
            layers = self.network.layer_sizes(self.network.patches)
            mapped = sum(layer.stored_bytes for layer in layers if plan.placements[layer.name] is Placement.MAPPED)
        return {
            "what": self.source.title,
            "resident_bytes": self.resident_bytes,
            "moved_bytes": 0 if plan is None else plan.moved_bytes,
            "mapped_bytes": mapped,
            "pinned": is_pinned,
        }

    def write_down(self, ledger: MemoryLedger, before: ResidencyPlan | None, plan: ResidencyPlan) -> None:
        """Tell the ledger what a new plan changed."""
        what = self.source.title
        came = plan.resident_bytes - (0 if before is None else before.resident_bytes)
        if came > 0:
            ledger.note("loaded", what, came)
        elif came < 0:
            ledger.note("shrunk", what, -came, "its own activations need room")
        if before is None and not plan.resident_bytes and not plan.moved_bytes:
            ledger.note("mapped", what, 0)
        if plan.moved_bytes and (before is None or before.moved_bytes != plan.moved_bytes):
            ledger.note("cast" if self.network.device.shares_host_memory else "streamed", what, plan.moved_bytes)
