"""The one owner of loaded weights on a device: builds networks when first used, keeps what fits, evicts the rest."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import torch
from torch import nn

from engine.core.digest import digest_value
from engine.core.errors import OutOfMemory
from engine.memory.binding import BoundNetwork
from engine.memory.device import Device, is_out_of_memory, memory_facts, release_cached_memory, room_bytes
from engine.memory.ledger import MemoryLedger
from engine.memory.loaded import LoadedNetwork
from engine.memory.meter import measure_peak
from engine.memory.peaks import ActivationPeaks, peak_key
from engine.memory.precision import PrecisionPolicy, is_storage_only
from engine.memory.residency import MemoryMode, ResidencyPlan, plan_residency
from engine.memory.sharing import Need, shrunk
from engine.memory.source import NetworkSource
from engine.weights.patches import NO_PATCHES, PatchSet

__all__ = ["NetworkHost", "NetworkSource", "default_budget_bytes"]

T = TypeVar("T")

_HOST_SHARE = 0.6
_DRIVER_BYTES = 600 << 20


def default_budget_bytes(device: Device, max_bytes: int | None = None, reserve_bytes: int = 0) -> int:
    """Bytes that weights and activations may take on a device when nobody said otherwise.

    On the host a share of what this process may use, since other programs live there; on an accelerator all of it but
    what the driver needs.
    """
    total = memory_facts(device).total_bytes
    usable = int(total * _HOST_SHARE) if device.shares_host_memory else total - _DRIVER_BYTES
    return max(0, min(usable, max_bytes if max_bytes is not None else usable) - reserve_bytes)


class NetworkHost:
    """Loaded networks of one device within a budget. Thread-safe; one forward runs at a time.

    Args:
        device: where they run.
        budget_bytes: what weights and activations may take together.
        precision: dtypes of each part.
        mode: how much may be kept.
        peaks: what forwards were seen to need.
        ledger: where changes are written down.
        pinned: names of files whose networks never make room for others.
        keeps_all: keep what runs once a picture as well; otherwise the host keeps cast copies of what repeats only.
        keeps_one: when another network runs, the one before leaves the device.
    """

    def __init__(
        self,
        device: Device,
        budget_bytes: int,
        precision: PrecisionPolicy | None = None,
        mode: MemoryMode = MemoryMode.KEEP,
        *,
        peaks: ActivationPeaks | None = None,
        ledger: MemoryLedger | None = None,
        pinned: Collection[str] = (),
        keeps_all: bool = False,
        keeps_one: bool = False,
    ) -> None:
        self.device = device
        self.budget_bytes = budget_bytes
        self.precision = precision or PrecisionPolicy()
        self.mode = mode
        self.peaks = peaks or ActivationPeaks()
        self.ledger = ledger or MemoryLedger()
        self._pinned = frozenset(pinned)
        self._keeps_all = keeps_all
        self._keeps_one = keeps_one
        self._loaded: dict[str, LoadedNetwork] = {}
        self._current: LoadedNetwork | None = None
        self._turn = 0
        self._reports: tuple[dict[str, Any], ...] = ()
        self._lock = threading.RLock()

    def compute_dtype(self, source: NetworkSource) -> torch.dtype:
        """The dtype a network computes in here."""
        return source.compute or self.precision.compute_dtype(source.part, self.device)

    def dtype_identity(self, source: NetworkSource) -> str:
        """Equal for two hosts, equal rounding of a network: the dtypes it computes in and is held in."""
        return f"{self.compute_dtype(source)}/{self._storage(source)}"

    @property
    def resident_bytes(self) -> int:
        """What all networks hold on the device between forwards."""
        with self._lock:
            return sum(loaded.resident_bytes for loaded in self._loaded.values())

    def plan_of(self, source: NetworkSource) -> ResidencyPlan | None:
        """The plan a network was last run with; None when it is not loaded."""
        with self._lock:
            loaded = self._loaded.get(source.identity)
            return None if loaded is None else loaded.network.plan

    def describe(self) -> dict[str, Any]:
        """The device, its budget and what is where since the newest plan, in bytes, as plain JSON.

        Does not wait for a forward that runs.
        """
        return {
            "device": self.device.name,
            "budget_bytes": self.budget_bytes,
            "resident_bytes": sum(report["resident_bytes"] for report in self._reports),
            "networks": list(self._reports),
        }

    def least_bytes(self, source: NetworkSource, patches: PatchSet = NO_PATCHES) -> int:
        """What the network's weights take at least while it runs: with everything streamed that can be."""
        with self._lock:
            return self._need(self._entry(source), patches).least_bytes

    def max_batch(self, item_bytes: int, wanted: int) -> int:
        """How many items of this activation size fit beside a network that streams all it can; at least one."""
        return max(1, min(wanted, self.budget_bytes // max(1, item_bytes)))

    def activation_bytes(self, source: NetworkSource, shape: Sequence[object], num_items: int, estimate: int) -> int:
        """What a forward of this shape takes besides weights: as it was measured, or else the estimate."""
        with self._lock:
            key = self._peak_key(self._entry(source), shape)
        known = self.peaks.expected(key, num_items)
        return estimate if known is None else known

    def run(
        self,
        source: NetworkSource,
        forward: Callable[[nn.Module], T],
        *,
        activation_bytes: int = 0,
        patches: PatchSet = NO_PATCHES,
        shape: Sequence[object] | None = None,
        num_items: int = 1,
    ) -> T:
        """Load the network as far as the budget allows and call `forward` with it.

        activation_bytes: what the forward takes besides weights, as far as is known beforehand. shape: what decides
        that, apart from the number of items; the first forward of a shape is measured, and `activation_bytes` answers
        with that from then on. None for a forward that is not to be measured.

        When an allocation fails, the other networks are unloaded and the call is repeated, then once more with the
        weights streamed. Raises OutOfMemory when that fails too, or when no plan fits the budget.
        """
        with self._lock, torch.no_grad():
            loaded = self._entry(source)
            self._take_turn(loaded)
            modes = (self.mode, self.mode, MemoryMode.STREAM)
            reason = ""
            for attempt, mode in enumerate(modes):
                try:
                    self._make_ready(loaded, patches, activation_bytes, mode)
                    value = self._forward(loaded, forward, shape, num_items)
                    self._note_held(loaded, activation_bytes, shape, num_items)
                    return value
                except (RuntimeError, MemoryError) as error:
                    if not is_out_of_memory(error):
                        raise
                    reason = str(error)
                self._make_room(loaded, attempt)
        raise OutOfMemory(
            f"The {source.part} ran out of memory on {self.device.name} even with its weights streamed.",
            hint="Make the picture or the batch smaller.",
            details={"reason": reason[:500]},
        )

    def free(self, source: NetworkSource | None = None) -> None:
        """Unload one network, or all."""
        with self._lock:
            for name in [source.identity] if source is not None else list(self._loaded):
                if name in self._loaded:
                    self._unload(self._loaded[name], "memory was to be freed")
            self._take_stock()
            release_cached_memory(self.device)

    # ------------------------------------------------------------------ networks

    def _storage(self, source: NetworkSource) -> torch.dtype:
        usual = self.precision.storage_dtype(source.part, self.device)
        return source.storage or (usual if is_storage_only(usual) else self.compute_dtype(source))

    def _entry(self, source: NetworkSource) -> LoadedNetwork:
        loaded = self._loaded.get(source.identity)
        if loaded is None:
            with torch.device("meta"):
                module = source.build()
            compute, storage = self.compute_dtype(source), self._storage(source)
            network = BoundNetwork(module, source.weights, self.device, compute, storage)
            shapes = sorted((name, spec.shape) for name, spec in source.weights.specs.items())
            loaded = LoadedNetwork(source, network, digest_value([source.part, shapes])[:32])
            self._loaded[source.identity] = loaded
        return loaded

    def _take_stock(self) -> None:
        """Note what is where, for `describe`."""
        self._reports = tuple(
            item.report(self._is_pinned(item)) for item in self._loaded.values() if item.network.plan is not None
        )

    def _take_turn(self, loaded: LoadedNetwork) -> None:
        if self._current is not loaded:
            if self._current is not None:
                self._current.network.rest()
                if self._keeps_one and not self._is_pinned(self._current):
                    self._unload(self._current, "only one network at a time stays")
            self._current = loaded
            self._turn += 1
        loaded.turns.begin(self._turn)

    def _is_pinned(self, loaded: LoadedNetwork) -> bool:
        return loaded.source.file in self._pinned

    def _unload(self, loaded: LoadedNetwork, why: str) -> None:
        self._loaded.pop(loaded.source.identity, None)
        if loaded is self._current:
            self._current = None
        if loaded.network.plan is not None:
            self.ledger.note("evicted", loaded.source.title, loaded.resident_bytes, why)
        loaded.network.unload()

    # ------------------------------------------------------------------ forwards

    def _peak_key(self, loaded: LoadedNetwork, shape: Sequence[object]) -> str:
        return peak_key(loaded.structure, str(loaded.network.dtype), self.device.kind, shape)

    def _forward(
        self, loaded: LoadedNetwork, forward: Callable[[nn.Module], T], shape: Sequence[object] | None, num_items: int
    ) -> T:
        key = None if shape is None else self._peak_key(loaded, shape)
        if key is None or self.peaks.is_settled(key):
            return forward(loaded.network.module)
        plan = loaded.network.plan
        assert plan is not None
        value, peak_bytes = measure_peak(self.device, lambda: forward(loaded.network.module))
        counts_weights = self.device.kind in ("cuda", "xpu") and plan.scratch_bytes > 0
        self.peaks.learn(key, num_items, peak_bytes, is_exact=not counts_weights)
        return value

    def _note_held(
        self, loaded: LoadedNetwork, activation_bytes: int, shape: Sequence[object] | None, num_items: int
    ) -> None:
        """Tell the ledger what the forward held: the activations as they were measured, or else as estimated."""
        plan = loaded.network.plan
        assert plan is not None
        known = None if shape is None else self.peaks.expected(self._peak_key(loaded, shape), num_items)
        self.ledger.note_held(plan.peak_bytes + (activation_bytes if known is None else known))

    def _make_ready(self, loaded: LoadedNetwork, patches: PatchSet, activation_bytes: int, mode: MemoryMode) -> None:
        network = loaded.network
        if network.plan is not None and loaded.ready == self._asked(loaded, patches, activation_bytes, mode):
            return
        before = network.plan
        plan = self._plan(loaded, patches, activation_bytes, mode)
        if before != plan or network.patches.identity != patches.identity:
            loaded.ready = None
            try:
                network.apply(plan, patches)
            except BaseException:
                network.unload()
                raise
            loaded.write_down(self.ledger, before, plan)
        loaded.ready = self._asked(loaded, patches, activation_bytes, mode)
        self._take_stock()

    def _asked(
        self, loaded: LoadedNetwork, patches: PatchSet, activation_bytes: int, mode: MemoryMode
    ) -> tuple[object, ...]:
        """Everything a plan follows from; while it is the same, the plan is."""
        others = sum(other.resident_bytes for other in self._loaded.values() if other is not loaded)
        return (patches.identity, activation_bytes, mode, others, min(loaded.turns.length, 2))

    def _need(self, loaded: LoadedNetwork, patches: PatchSet) -> Need:
        repeats = loaded.source.repeats or self._keeps_all
        return loaded.need(patches, host_is_device=self.device.shares_host_memory, repeats=repeats)

    def _plan(self, loaded: LoadedNetwork, patches: PatchSet, activation_bytes: int, mode: MemoryMode) -> ResidencyPlan:
        """A plan within the budget; others make room as far as this one would use it (see `engine.memory.sharing`)."""
        need = self._need(loaded, patches)
        wanted = need.most_bytes if mode is MemoryMode.KEEP else need.least_bytes
        room = min(self.budget_bytes, room_bytes(self.device, self.budget_bytes)) - activation_bytes
        others = [other for other in self._loaded.values() if other is not loaded and other.resident_bytes]
        free = room - sum(other.resident_bytes for other in others)
        at_most = room - sum(other.resident_bytes for other in others if self._is_pinned(other))
        if at_most < need.least_bytes:  # nobody need leave for what does not fit anyway
            free, others = at_most, []
        for other in sorted(others, key=lambda item: item.worth(self._turn)):
            steps_aside = free >= need.least_bytes and loaded.turns.alternates_with(other.turns)
            if free >= wanted:
                break
            if not self._is_pinned(other) and not (steps_aside and other.source.repeats):
                free += self._give_up(other, wanted - free, loaded)
        try:
            return plan_residency(
                need.layers,
                budget_bytes=free,
                host_is_device=self.device.shares_host_memory,
                repeats=loaded.source.repeats or self._keeps_all,
                mode=mode,
                what=loaded.source.part.replace("_", " "),
            )
        except OutOfMemory as error:
            error.details = {**error.details, "activation_bytes": activation_bytes, "room_bytes": room}
            self.ledger.note("refused", loaded.source.title, need.least_bytes, f"{max(free, 0)} bytes are free")
            raise

    def _give_up(self, loaded: LoadedNetwork, num_bytes: int, asked_by: LoadedNetwork) -> int:
        """Take bytes from a network that does not run, the whole of it if need be; how many there were."""
        network, held = loaded.network, loaded.resident_bytes
        why = f"room for the {asked_by.source.title}"
        if network.plan is not None and num_bytes < held:
            layers = network.layer_sizes(network.patches)
            plan = shrunk(network.plan, layers, num_bytes, host_is_device=self.device.shares_host_memory)
            if held - plan.resident_bytes >= num_bytes:
                network.apply(plan, network.patches)
                loaded.ready = None
                self.ledger.note("shrunk", loaded.source.title, held - plan.resident_bytes, why)
                return held - plan.resident_bytes
        self._unload(loaded, why)
        return held

    def _make_room(self, loaded: LoadedNetwork, attempt: int) -> None:
        self.ledger.note("retried", loaded.source.title, 0, ("without other networks", "streamed", "given up")[attempt])
        for other in list(self._loaded.values()):
            if other is loaded:
                if attempt > 0:
                    other.network.unload()
                    other.ready = None
            elif attempt > 0 or not self._is_pinned(other):  # rather than fail, even those give way
                self._unload(other, f"an allocation of the {loaded.source.title} failed")
        release_cached_memory(self.device)
