"""The one owner of loaded weights on a device: builds networks when first used, keeps what fits, evicts the rest."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from torch import nn

from engine.core.digest import digest_value
from engine.core.errors import OutOfMemory
from engine.memory.binding import BoundNetwork, WeightSource
from engine.memory.device import Device, is_out_of_memory, memory_facts, release_cached_memory
from engine.memory.precision import Part, PrecisionPolicy, is_storage_only
from engine.memory.residency import MemoryMode, ResidencyPlan, plan_residency
from engine.weights.patches import NO_PATCHES, PatchSet

__all__ = ["NetworkHost", "NetworkSource", "default_budget_bytes"]

T = TypeVar("T")

_HOST_SHARE = 0.6
_DRIVER_BYTES = 600 << 20


@dataclass(frozen=True, slots=True)
class NetworkSource:
    """A network that can be loaded: how to build it without storage, and where its weights come from.

    identity: equal identity, equal function. part: decides the dtypes. repeats: runs once per step rather than
    once per prompt or picture. storage: what its matrices and kernels are held in, compute: what it computes in; None
    for the policy's choice.
    """

    identity: str
    part: Part
    build: Callable[[], nn.Module] = field(compare=False)
    weights: WeightSource = field(compare=False)
    repeats: bool = False
    storage: torch.dtype | None = None
    compute: torch.dtype | None = None

    def computed_in(self, dtype: torch.dtype) -> NetworkSource:
        """The same network computing in this dtype, whatever the policy says."""
        identity = digest_value([self.identity, "computed in", str(dtype)])
        return replace(self, identity=identity, compute=dtype)


def default_budget_bytes(device: Device, max_bytes: int | None = None, reserve_bytes: int = 0) -> int:
    """Bytes that weights and activations may take on a device when nobody said otherwise.

    On the host a share of what this process may use, since other programs live there; on an accelerator all of it but
    what the driver needs.
    """
    total = memory_facts(device).total_bytes
    usable = int(total * _HOST_SHARE) if device.shares_host_memory else total - _DRIVER_BYTES
    return max(0, min(usable, max_bytes if max_bytes is not None else usable) - reserve_bytes)


class NetworkHost:
    """Loaded networks of one device within a budget. Thread-safe; one forward runs at a time."""

    def __init__(
        self,
        device: Device,
        budget_bytes: int,
        precision: PrecisionPolicy | None = None,
        mode: MemoryMode = MemoryMode.KEEP,
    ) -> None:
        self.device = device
        self.budget_bytes = budget_bytes
        self.precision = precision or PrecisionPolicy()
        self.mode = mode
        self._networks: dict[str, BoundNetwork] = {}
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
            return sum(network.resident_bytes for network in self._networks.values())

    def plan_of(self, source: NetworkSource) -> ResidencyPlan | None:
        """The plan a network was last run with; None when it is not loaded."""
        with self._lock:
            network = self._networks.get(source.identity)
            return None if network is None else network.plan

    def max_batch(self, item_bytes: int, wanted: int) -> int:
        """How many items of this activation size fit beside a network that streams all it can; at least one."""
        return max(1, min(wanted, self.budget_bytes // max(1, item_bytes)))

    def run(
        self,
        source: NetworkSource,
        forward: Callable[[nn.Module], T],
        *,
        activation_bytes: int = 0,
        patches: PatchSet = NO_PATCHES,
    ) -> T:
        """Load the network as far as the budget allows and call `forward` with it.

        When an allocation fails, the other networks are unloaded and the call is repeated, then once more with the
        weights streamed. Raises OutOfMemory when that fails too, or when no plan fits the budget.
        """
        with self._lock, torch.no_grad():
            network = self._network(source)
            modes = (self.mode, self.mode, MemoryMode.STREAM)
            reason = ""
            for attempt, mode in enumerate(modes):
                try:
                    self._make_ready(source, network, patches, activation_bytes, mode)
                    return forward(network.module)
                except (RuntimeError, MemoryError) as error:
                    if not is_out_of_memory(error):
                        raise
                    reason = str(error)
                self._make_room(source, attempt)
        raise OutOfMemory(
            f"The {source.part} ran out of memory on {self.device.name} even with its weights streamed.",
            hint="Make the picture or the batch smaller.",
            details={"reason": reason[:500]},
        )

    def free(self, source: NetworkSource | None = None) -> None:
        """Unload one network, or all."""
        with self._lock:
            names = [source.identity] if source is not None else list(self._networks)
            for name in names:
                network = self._networks.pop(name, None)
                if network is not None:
                    network.unload()
            release_cached_memory(self.device)

    def _storage(self, source: NetworkSource) -> torch.dtype:
        usual = self.precision.storage_dtype(source.part, self.device)
        return source.storage or (usual if is_storage_only(usual) else self.compute_dtype(source))

    def _network(self, source: NetworkSource) -> BoundNetwork:
        """The network, moved to the end of the order of use."""
        network = self._networks.pop(source.identity, None)
        if network is None:
            with torch.device("meta"):
                module = source.build()
            compute, storage = self.compute_dtype(source), self._storage(source)
            network = BoundNetwork(module, source.weights, self.device, compute, storage)
        self._networks[source.identity] = network
        return network

    def _make_ready(
        self, source: NetworkSource, network: BoundNetwork, patches: PatchSet, activation_bytes: int, mode: MemoryMode
    ) -> None:
        plan = self._plan(source, network, patches, activation_bytes, mode)
        if network.plan == plan and network.patches.identity == patches.identity:
            return
        try:
            network.apply(plan, patches)
        except BaseException:
            network.unload()
            raise

    def _plan(
        self, source: NetworkSource, network: BoundNetwork, patches: PatchSet, activation_bytes: int, mode: MemoryMode
    ) -> ResidencyPlan:
        """A plan within the budget; other networks are unloaded, least recently used first, while that keeps more."""
        layers = network.layer_sizes(patches)
        while True:
            others = sum(n.resident_bytes for n in self._networks.values() if n is not network)
            try:
                plan = plan_residency(
                    layers,
                    budget_bytes=self.budget_bytes - activation_bytes - others,
                    host_is_device=self.device.shares_host_memory,
                    repeats=source.repeats,
                    mode=mode,
                    what=source.part.replace("_", " "),
                )
            except OutOfMemory:
                if not others:
                    raise
            else:
                moves_more = mode is MemoryMode.KEEP and source.repeats and plan.moved_bytes > 0
                if not (moves_more and others):
                    return plan
            self._unload_oldest(network)

    def _unload_oldest(self, keep: BoundNetwork) -> None:
        for name, network in list(self._networks.items()):
            if network is not keep and network.resident_bytes:
                del self._networks[name]
                network.unload()
                return

    def _make_room(self, source: NetworkSource, attempt: int) -> None:
        for name, network in list(self._networks.items()):
            if name != source.identity or attempt > 0:
                network.unload()
        release_cached_memory(self.device)
