"""The networks on a device: whose weights are where, who gives way to whom, and what comes before it is needed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from engine.core.errors import OutOfMemory
from engine.memory.device import Device, memory_facts, room_bytes
from engine.memory.early_weights import EarlyWeights
from engine.memory.ledger import MemoryLedger
from engine.memory.loaded import LoadedNetwork
from engine.memory.residency import MemoryMode, Placement, ResidencyPlan, plan_residency
from engine.memory.sharing import Need, shrunk
from engine.weights.patches import NO_PATCHES, PatchSet

__all__ = ["Residents"]


class Residents:
    """Loaded networks within a budget of bytes. Used by one thread at a time.

    Args:
        device: where they run.
        budget_bytes: what weights and activations may take together.
        ledger: where changes are written down.
        pinned: names of files whose networks never make room for others.
        keeps_all: keep what runs once a picture as well; otherwise the host keeps cast copies of what repeats only.
        keeps_one: when another network runs, the one before leaves the device.
    """

    def __init__(
        self,
        device: Device,
        budget_bytes: int,
        ledger: MemoryLedger,
        *,
        pinned: Collection[str] = (),
        keeps_all: bool = False,
        keeps_one: bool = False,
    ) -> None:
        self._device = device
        self._budget_bytes = budget_bytes
        self._ledger = ledger
        self._pinned = frozenset(pinned)
        self._keeps_all = keeps_all
        self._keeps_one = keeps_one
        self._loaded: dict[str, LoadedNetwork] = {}
        self._current: LoadedNetwork | None = None
        self._activation_bytes = 0
        self._turn = 0

    def __iter__(self) -> Iterator[LoadedNetwork]:
        """All of them, as they were first used."""
        return iter(tuple(self._loaded.values()))

    @property
    def resident_bytes(self) -> int:
        """What they hold between forwards."""
        return sum(loaded.resident_bytes for loaded in self)

    def get(self, identity: str) -> LoadedNetwork | None:
        """The network of this identity, if it is known here."""
        return self._loaded.get(identity)

    def known(self, loaded: LoadedNetwork) -> LoadedNetwork:
        """The network of this one's identity: this one if there was none."""
        return self._loaded.setdefault(loaded.source.identity, loaded)

    def reports(self) -> tuple[dict[str, Any], ...]:
        """What is where, as `LoadedNetwork.report` has it."""
        return tuple(
            item.report(self._is_pinned(item)) for item in self if item.network.plan is not None or item.resident_bytes
        )

    def need(self, loaded: LoadedNetwork, patches: PatchSet) -> Need:
        """What a network's weights ask of the device."""
        return loaded.need(patches, host_is_device=self._device.shares_host_memory, repeats=self._repeats(loaded))

    # ------------------------------------------------------------------ for a forward

    def take_turn(self, loaded: LoadedNetwork) -> None:
        """This network runs now."""
        if self._current is not loaded:
            if self._current is not None:
                self._current.network.rest()
                if self._keeps_one and not self._is_pinned(self._current):
                    self.unload(self._current, "only one network at a time stays")
            self._current = loaded
            self._turn += 1
        loaded.turns.begin(self._turn)

    def make_ready(self, loaded: LoadedNetwork, patches: PatchSet, activation_bytes: int, mode: MemoryMode) -> bool:
        """Put the network's weights where a plan within the budget wants them; whether anything changed.

        Raises OutOfMemory when no plan fits.
        """
        self._activation_bytes = activation_bytes
        network = loaded.network
        if network.plan is not None and loaded.ready == self._asked(loaded, patches, activation_bytes, mode):
            return False
        before, early = network.plan, loaded.take_early()
        if early:
            num_bytes = sum(weight.numel() * weight.element_size() for weight in early.values())
            self._ledger.note("prefetched", loaded.source.title, num_bytes)
        plan = self._plan(loaded, patches, activation_bytes, mode)
        if before != plan or network.patches.identity != patches.identity:
            loaded.ready = None
            try:
                network.apply(plan, patches, early)
            except BaseException:
                network.unload()
                raise
            loaded.write_down(self._ledger, before, plan)
        loaded.ready = self._asked(loaded, patches, activation_bytes, mode)
        return True

    def make_room(self, loaded: LoadedNetwork, attempt: int) -> None:
        """An allocation of the running network failed, for the `attempt`-th time from 0: unload others, then itself."""
        why = ("without other networks", "streamed", "given up")[attempt]
        self._ledger.note("retried", loaded.source.title, 0, why)
        for other in self:
            if other is loaded:
                if attempt > 0:
                    other.network.unload()
                    other.ready = None
            elif attempt > 0 or not self._is_pinned(other):  # rather than fail, even those give way
                self.unload(other, f"an allocation of the {loaded.source.title} failed")

    def unload(self, loaded: LoadedNetwork, why: str) -> None:
        """Give up a network that does not run; another one of its identity begins anew."""
        self._loaded.pop(loaded.source.identity, None)
        if loaded is self._current:
            self._current = None
        if loaded.network.plan is not None or loaded.resident_bytes:
            self._ledger.note("evicted", loaded.source.title, loaded.resident_bytes, why)
        loaded.take_early()
        loaded.network.unload()

    # ------------------------------------------------------------------ before a forward

    def expect(self, loaded: LoadedNetwork) -> Callable[[], object] | None:
        """What brings the network's weights, as far as they fit beside all that is here and what the running network
        takes; None when there is nothing to do. It may be called on any thread, later.

        Where the host is the device, the operating system reads the file ahead, if the memory has room for it.
        """
        if loaded.is_expected or loaded.network.plan is not None:
            return None
        loaded.is_expected = True
        network = loaded.network
        layers = self.need(loaded, NO_PATCHES).layers
        if self._device.shares_host_memory:
            num_bytes = sum(layer.stored_bytes for layer in layers)
            if num_bytes > memory_facts(self._device).free_bytes:
                return None
            self._ledger.note("prefetched", loaded.source.title, num_bytes, "its file is read ahead")
            names = network.weights_of(layer.name for layer in layers)
            return lambda: network.source.prefetch(names)
        try:
            plan = self._within(loaded, NO_PATCHES, self._spare_bytes(), MemoryMode.KEEP)
        except OutOfMemory:
            return None
        kept = [layer.name for layer in layers if plan.placements[layer.name] is Placement.RESIDENT]
        early = loaded.early = EarlyWeights(self._device, network.weights_of(kept), plan.resident_bytes)
        return lambda: early.bring(network.fetch)

    def _spare_bytes(self) -> int:
        """What neither the networks here nor the activations of the running one take."""
        running = None if self._current is None else self._current.network.plan
        taken = self._activation_bytes + (0 if running is None else running.scratch_bytes)
        return self._room_bytes() - taken - self.resident_bytes

    # ------------------------------------------------------------------ plans

    def _room_bytes(self) -> int:
        return min(self._budget_bytes, room_bytes(self._device, self._budget_bytes))

    def _is_pinned(self, loaded: LoadedNetwork) -> bool:
        return loaded.source.file in self._pinned

    def _repeats(self, loaded: LoadedNetwork) -> bool:
        return loaded.source.repeats or self._keeps_all

    def _asked(
        self, loaded: LoadedNetwork, patches: PatchSet, activation_bytes: int, mode: MemoryMode
    ) -> tuple[object, ...]:
        """Everything a plan follows from; while it is the same, the plan is."""
        others = sum(other.resident_bytes for other in self if other is not loaded)
        return (patches.identity, activation_bytes, mode, others, min(loaded.turns.length, 2))

    def _plan(self, loaded: LoadedNetwork, patches: PatchSet, activation_bytes: int, mode: MemoryMode) -> ResidencyPlan:
        """A plan within the budget; others make room as far as this one would use it (see `engine.memory.sharing`)."""
        need = self.need(loaded, patches)
        wanted = need.most_bytes if mode is MemoryMode.KEEP else need.least_bytes
        room = self._room_bytes() - activation_bytes
        others = [other for other in self if other is not loaded and other.resident_bytes]
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
            return self._within(loaded, patches, free, mode)
        except OutOfMemory as error:
            error.details = {**error.details, "activation_bytes": activation_bytes, "room_bytes": room}
            self._ledger.note("refused", loaded.source.title, need.least_bytes, f"{max(free, 0)} bytes are free")
            raise

    def _within(self, loaded: LoadedNetwork, patches: PatchSet, num_bytes: int, mode: MemoryMode) -> ResidencyPlan:
        return plan_residency(
            self.need(loaded, patches).layers,
            budget_bytes=num_bytes,
            host_is_device=self._device.shares_host_memory,
            repeats=self._repeats(loaded),
            mode=mode,
            what=loaded.source.part.replace("_", " "),
        )

    def _give_up(self, loaded: LoadedNetwork, num_bytes: int, asked_by: LoadedNetwork) -> int:
        """Take bytes from a network that does not run, the whole of it if need be; how many there were."""
        network, held = loaded.network, loaded.resident_bytes
        why = f"room for the {asked_by.source.title}"
        if network.plan is not None and num_bytes < held:
            layers = network.layer_sizes(network.patches)
            plan = shrunk(network.plan, layers, num_bytes, host_is_device=self._device.shares_host_memory)
            if held - plan.resident_bytes >= num_bytes:
                network.apply(plan, network.patches)
                loaded.ready = None
                self._ledger.note("shrunk", loaded.source.title, held - plan.resident_bytes, why)
                return held - plan.resident_bytes
        self.unload(loaded, why)
        return held
