"""The parts of a running server, handed to whoever builds a view over them (native routes, compat routes)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.core.settings import Settings
    from engine.server.assets import AssetStore
    from engine.server.catalog import CatalogHolder
    from engine.server.core import Engine
    from engine.server.downloads import Downloads
    from engine.server.feed import Feed
    from engine.server.jobs import JobStore
    from engine.server.logs import LogRing
    from engine.server.model_files import ModelFiles
    from engine.server.thumbnails import Thumbnails
    from engine.server.uploads import Uploads
    from engine.server.workers import WorkerPool
    from engine.server.workflows import WorkflowStore

__all__ = ["Services"]


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a route may use. `clock` gives seconds since 1970 UTC; `started_s` is when the server came up."""

    settings: Settings
    engine: Engine
    jobs: JobStore
    feed: Feed
    catalog: CatalogHolder
    assets: AssetStore
    uploads: Uploads
    thumbnails: Thumbnails
    workers: WorkerPool
    workflows: WorkflowStore
    models: ModelFiles
    downloads: Downloads
    logs: LogRing
    clock: Callable[[], float]
    started_s: float
