"""Builds a worker out of its parts, once torch may be imported."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType, ModuleType
from typing import Any

import torch

from engine.api import NodeDefinition
from engine.core.settings import PrecisionSettings, Settings
from engine.execution.artifact_cache import ArtifactCache
from engine.execution.events import Event
from engine.execution.executor import Executor
from engine.families.model_store import ModelStore, model_store_from_settings
from engine.memory.device import Device, find_device, prefer_deterministic_kernels
from engine.protocol.messages import Message, PackEvent, PackReport, Pong, Start, WorkerReady
from engine.worker.artifact_store import ArtifactStore
from engine.worker.batcher import Batcher, Forward
from engine.worker.catalog import CatalogPublisher
from engine.worker.context import NodeSurroundings
from engine.worker.dependencies import Dependencies
from engine.worker.device_facts import device_record, make_pong, version_record
from engine.worker.file_digests import FileDigests
from engine.worker.lanes import Lanes, open_lanes
from engine.worker.loop import WorkerLoop
from engine.worker.model_room import ModelRoom
from engine.worker.node_runner import NodeRunner
from engine.worker.pack_loader import AdaptModule, load_builtins, load_packs
from engine.worker.pack_services import NoPackServices, PackServices
from engine.worker.pack_sources import Sources
from engine.worker.ram_budget import own_memory_bytes, shared_out
from engine.worker.value_sizes import size_of

__all__ = ["Worker", "assemble"]

_LOG = logging.getLogger(__name__)
_COMPAT = "engine.compat.comfyui.worker"
"""The compatibility layer sits above the worker, which therefore knows it by name only and works without it."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that is ready to run."""

    loop: WorkerLoop
    device: Device

    def ready(self) -> WorkerReady:
        """The message that says so."""
        return WorkerReady(device_record(self.device), version_record())

    def pong(self, number: int) -> Pong:
        """The answer to a Ping."""
        return make_pong(number, self.device, self.loop.job_ids())


def assemble(start: Start, settings: Settings, sources: Sources, send: Callable[[Message], None]) -> Worker:
    """Load all packs, publish the catalog, and wire the loop."""
    if start.device is not None:
        settings = replace(settings, memory=replace(settings.memory, device=start.device))
    settings = shared_out(settings, own_memory_bytes())
    if settings.precision.deterministic:
        prefer_deterministic_kernels()
    device = find_device("cpu" if settings.memory.plan == "cpu" else settings.memory.device)
    room: ModelRoom[ModelStore] = ModelRoom(partial(model_store_from_settings, settings))
    definitions, reports, services = _load(settings, sources, send, device, room)
    catalog = CatalogPublisher(definitions, services.announce(reports), sources.digest, start.known_catalog, send)
    catalog.publish()
    loop = _wire(settings, definitions, send, catalog, room, services)
    return Worker(loop, device)


def _wire(
    settings: Settings,
    definitions: MappingProxyType[str, NodeDefinition],
    send: Callable[[Message], None],
    catalog: CatalogPublisher,
    room: ModelRoom[ModelStore],
    services: PackServices,
) -> WorkerLoop:
    loops: list[WorkerLoop] = []

    def count_forward(forward: Forward) -> None:
        loops[0].count_forward(forward)

    batcher = Batcher(synchronize=_synchronize, on_forward=count_forward)
    lanes = open_lanes(batcher)
    precision = "" if settings.precision == PrecisionSettings() else repr(settings.precision)
    dependencies = Dependencies(settings.folders, definitions, FileDigests(), precision)
    surroundings = NodeSurroundings(
        settings.folders,
        room.library,
        lanes.pictures,
        settings.metadata_policy,
        settings.preview_size_px,
        room.take_held,
    )
    store = ArtifactStore(settings.folders.data / "artifacts")

    def make_runner(post: Callable[[Event], None]) -> NodeRunner:
        return NodeRunner(definitions, surroundings, dependencies, lanes, batcher, post)

    loops.append(
        WorkerLoop(
            executor=_executor(settings, store, lanes),
            definitions=definitions,
            make_runner=make_runner,
            dependencies=dependencies,
            lanes=lanes,
            store=store,
            send=send,
            publish_catalog=catalog.publish,
            models=room,
            call_pack=lambda call: services.answer(call, send),
        )
    )
    return loops[0]


def _executor(settings: Settings, store: ArtifactStore, lanes: Lanes) -> Executor:
    cache = settings.cache
    stored = store.index() if cache.mode != "none" and cache.max_disk_bytes > 0 else []
    artifacts = ArtifactCache(
        size_of,
        mode=cache.mode,
        max_bytes=cache.max_ram_bytes,
        max_results=cache.lru_jobs,
        max_disk_bytes=cache.max_disk_bytes,
        on_disk={item.address: item.size_bytes for item in stored},
    )
    return Executor(artifacts, lanes.limits)


def _load(
    settings: Settings,
    sources: Sources,
    send: Callable[[Message], None],
    device: Device,
    room: ModelRoom[ModelStore],
) -> tuple[MappingProxyType[str, NodeDefinition], list[PackReport], PackServices]:
    """Built-ins first, then packs with the modules of the compatibility layer in place."""
    definitions: dict[str, NodeDefinition] = {}
    reports = [load_builtins(sources.builtins, definitions)]
    live = MappingProxyType(definitions)
    adapt, services = None, NoPackServices()
    if sources.packs:
        adapt, services = _install_compat(settings, live, send, device, room)
    reports += load_packs(sources.packs, adapt, definitions)
    return live, reports, services


def _install_compat(
    settings: Settings,
    definitions: MappingProxyType[str, NodeDefinition],
    send: Callable[[Message], None],
    device: Device,
    room: ModelRoom[ModelStore],
) -> tuple[AdaptModule | None, PackServices]:
    """Put the modules that existing packs import in place; gives what turns such packs into definitions, or None."""
    compat = _import_compat()
    if compat is None:
        return None, NoPackServices()

    def tell(event: Any) -> None:
        send(PackEvent(event.event, {"data": event.data}, event.job, event.client))

    host = compat.Host(
        settings=settings, definitions=definitions, send=tell, device=lambda: device.torch, unload=room.free
    )
    compat.install(host)
    return compat.adapt_module, compat.PackDesk(host)


def _import_compat() -> ModuleType | None:
    try:
        return importlib.import_module(_COMPAT)
    except ModuleNotFoundError as error:
        if error.name is not None and _COMPAT.startswith(error.name):
            return None
        raise


def _synchronize(device: torch.device) -> None:
    """Wait for the device, so that the batcher's clock measures forwards and not launches."""
    if device.type in ("cuda", "xpu"):
        getattr(torch, device.type).synchronize(device)
