"""The one owner of loaded weights on a device: builds networks when first used and runs them within the budget."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import torch
from torch import nn

from engine.core.background import BackgroundThread
from engine.core.digest import digest_value
from engine.core.errors import OutOfMemory
from engine.memory.binding import BoundNetwork
from engine.memory.device import Device, is_out_of_memory, memory_facts, release_cached_memory
from engine.memory.ledger import MemoryLedger
from engine.memory.loaded import LoadedNetwork
from engine.memory.meter import measure_peak
from engine.memory.peaks import ActivationPeaks, peak_key
from engine.memory.precision import PrecisionPolicy, is_storage_only, wider_than
from engine.memory.residency import MemoryMode, ResidencyPlan
from engine.memory.residents import Residents
from engine.memory.source import NetworkSource
from engine.weights.patches import NO_PATCHES, PatchSet

__all__ = ["NetworkHost", "NetworkSource", "default_budget_bytes"]

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
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
        pinned, keeps_all, keeps_one: as `engine.memory.residents.Residents` has them.
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
        self._residents = Residents(
            device, budget_bytes, self.ledger, pinned=pinned, keeps_all=keeps_all, keeps_one=keeps_one
        )
        self._foresees = mode is MemoryMode.KEEP and not keeps_one
        self._thread = BackgroundThread("next weights")
        self._widened: dict[str, torch.dtype] = {}
        self._uncompilable: set[tuple[str, str]] = set()
        self._compiling: set[tuple[str, str]] = set()
        self._reports: tuple[dict[str, Any], ...] = ()
        self._running = threading.RLock()
        """Held while a network computes and while one may be unloaded. Taken before the other lock."""
        self._lock = threading.RLock()
        """Held while plans are made and weights are moved between forwards."""

    def compute_dtype(self, source: NetworkSource) -> torch.dtype:
        """The dtype a network computes in here."""
        usual = source.compute or self.precision.compute_dtype(source.part, self.device)
        return self._widened.get(source.identity, usual)

    def dtype_identity(self, source: NetworkSource) -> str:
        """Equal for two hosts, equal rounding of a network: the dtypes it computes in and is held in."""
        return f"{self.compute_dtype(source)}/{self._storage(source)}"

    def widen(self, source: NetworkSource) -> bool:
        """From now on compute a network whose result overflowed in a wider dtype; False when there is none."""
        narrow = self.compute_dtype(source)
        wide = wider_than(narrow, self.device)
        if wide is None:
            return False
        self.free(source)
        self._widened[source.identity] = wide
        names = [str(dtype).removeprefix("torch.") for dtype in (narrow, wide)]
        self.ledger.note("widened", source.title, 0, " to ".join(names))
        return True

    def is_uncompilable(self, source: NetworkSource, compilation: str) -> bool:
        """Whether a way of compiling a network, named by the caller, has failed, so that the plain one is to run."""
        return (source.identity, compilation) in self._uncompilable

    def compile_beside(self, source: NetworkSource, compilation: str) -> None:
        """Say once that a network runs as it is while this way of compiling it is not done."""
        if (source.identity, compilation) not in self._compiling:
            self._compiling.add((source.identity, compilation))
            self.ledger.note("compiling", source.title, 0)

    def run_uncompiled(self, source: NetworkSource, compilation: str, why: str) -> None:
        """Say once that this way of compiling a network fails; it runs as it is until the process ends."""
        self._uncompilable.add((source.identity, compilation))
        self.ledger.note("uncompiled", source.title, 0, why)
        _LOG.warning("The %s runs as it is. %s", source.title, why)

    @property
    def resident_bytes(self) -> int:
        """What all networks hold on the device between forwards."""
        with self._lock:
            return self._residents.resident_bytes

    def plan_of(self, source: NetworkSource) -> ResidencyPlan | None:
        """The plan a network was last run with; None when it is not loaded."""
        with self._lock:
            loaded = self._residents.get(source.identity)
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
        loaded = self._entry(source)
        with self._lock:
            return self._residents.need(loaded, patches).least_bytes

    def max_batch(self, item_bytes: int, wanted: int) -> int:
        """How many items of this activation size fit beside a network that streams all it can; at least one."""
        return max(1, min(wanted, self.budget_bytes // max(1, item_bytes)))

    def activation_bytes(self, source: NetworkSource, shape: Sequence[object], num_items: int, estimate: int) -> int:
        """What a forward of this shape takes besides weights: as it was measured, or else the estimate."""
        known = self.peaks.expected(self._peak_key(self._entry(source), shape), num_items)
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
        with self._running, torch.no_grad():
            loaded = self._entry(source)
            with self._lock:
                self._residents.take_turn(loaded)
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
                with self._lock:
                    self._residents.make_room(loaded, attempt)
                release_cached_memory(self.device)
        raise OutOfMemory(
            f"The {source.part} ran out of memory on {self.device.name} even with its weights streamed.",
            hint="Make the picture or the batch smaller.",
            details={"reason": reason[:500]},
        )

    def foresee(self, source: NetworkSource) -> None:
        """A network will run soon: let its weights come while another one computes, as far as there is room.

        Returns at once. Nothing leaves for them, and they are the first to leave when others need their room. Does
        nothing where little or nothing is to be kept.
        """
        if self._foresees:
            self._thread.submit(lambda: self._bring_early(source))

    def free(self, source: NetworkSource | None = None) -> None:
        """Unload one network, or all."""
        with self._running:
            with self._lock:
                for loaded in self._residents:
                    if source is None or loaded.source.identity == source.identity:
                        self._residents.unload(loaded, "memory was to be freed")
                self._reports = self._residents.reports()
            release_cached_memory(self.device)

    # ------------------------------------------------------------------ networks

    def _storage(self, source: NetworkSource) -> torch.dtype:
        usual = self.precision.storage_dtype(source.part, self.device)
        return source.storage or (usual if is_storage_only(usual) else self.compute_dtype(source))

    def _entry(self, source: NetworkSource) -> LoadedNetwork:
        with self._lock:
            loaded = self._residents.get(source.identity)
        if loaded is not None:
            return loaded
        # Without the lock: a large network takes a while to build, and the running one must not wait for it.
        with torch.device("meta"):
            module = source.build()
        network = BoundNetwork(module, source.weights, self.device, self.compute_dtype(source), self._storage(source))
        shapes = sorted((name, spec.shape) for name, spec in source.weights.specs.items())
        with self._lock:
            return self._residents.known(LoadedNetwork(source, network, digest_value([source.part, shapes])[:32]))

    def _make_ready(self, loaded: LoadedNetwork, patches: PatchSet, activation_bytes: int, mode: MemoryMode) -> None:
        with self._lock:
            if self._residents.make_ready(loaded, patches, activation_bytes, mode):
                self._reports = self._residents.reports()

    def _bring_early(self, source: NetworkSource) -> None:
        """On the thread of its own."""
        loaded = self._entry(source)
        with self._lock:
            is_known = self._residents.get(source.identity) is loaded  # it may have been freed since
            bring = self._residents.expect(loaded) if is_known else None
            self._reports = self._residents.reports()
        if bring is not None:
            bring()

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
