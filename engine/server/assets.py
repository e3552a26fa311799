"""Reading back what jobs made: asset records and the files behind them."""

from __future__ import annotations

from typing import BinaryIO

import sqlalchemy as sa

from engine.core.containment import open_inside
from engine.core.errors import NotFoundError
from engine.core.folders import Folders
from engine.core.ids import AssetId, JobId, NodeId
from engine.server.jobs import JobStore
from engine.server.origins import OriginNames, Wanted, matching, read_names
from engine.server.records import AssetRecord
from engine.server.tables import ASSETS

__all__ = ["AssetStore"]

_COLUMNS = (
    ASSETS.c.id, ASSETS.c.job, ASSETS.c.node, ASSETS.c.ordinal, ASSETS.c.digest, ASSETS.c.folder, ASSETS.c.subfolder,
    ASSETS.c.filename, ASSETS.c.media_type, ASSETS.c.size_bytes, ASSETS.c.width_px, ASSETS.c.height_px,
    ASSETS.c.is_placed, ASSETS.c.created_s,
)  # fmt: skip


class AssetStore:
    """Asset rows, and files opened through the containment check."""

    def __init__(self, store: JobStore, folders: Folders) -> None:
        self._store = store
        self._folders = folders

    async def get(self, asset: AssetId) -> AssetRecord:
        """One asset. Raises NotFoundError."""
        found = await self._select(ASSETS.c.id == asset, 1, 0)
        if not found:
            raise NotFoundError(f"There is no asset {asset[:100]!r}.", hint="List the assets of the job.")
        return found[0]

    async def list(
        self, job: JobId | None = None, limit: int = 100, offset: int = 0, wanted: Wanted | None = None
    ) -> list[AssetRecord]:
        """Placed assets of a job in order, or the newest of all jobs first; only those that are wanted."""
        of_job = () if job is None else (ASSETS.c.job == job,)
        condition = sa.and_(ASSETS.c.is_placed, *of_job, *matching(wanted or Wanted()))
        return await self._select(condition, limit, offset, newest_first=job is None)

    async def origins(self) -> OriginNames:
        """The workflows and weight files that assets can be asked for by."""
        return await self._store.read(read_names)

    async def find(self, folder: str, subfolder: str, filename: str) -> AssetRecord | None:
        """The asset that a visible file is, or None for files no job is known to have made."""
        condition = (ASSETS.c.folder == folder) & (ASSETS.c.subfolder == subfolder) & (ASSETS.c.filename == filename)
        found = await self._select(condition, 1, 0)
        return found[0] if found else None

    async def _select(
        self, condition: sa.ColumnElement[bool], limit: int, offset: int, *, newest_first: bool = True
    ) -> list[AssetRecord]:
        order = (ASSETS.c.created_s.desc(),) if newest_first else (ASSETS.c.created_s, ASSETS.c.node, ASSETS.c.ordinal)
        query = sa.select(*_COLUMNS).where(condition).order_by(*order).limit(limit).offset(offset)
        rows = await self._store.read(lambda connection: connection.execute(query).mappings().all())
        return [
            AssetRecord(**{**row, "id": AssetId(row["id"]), "job": JobId(row["job"]), "node": NodeId(row["node"])})
            for row in rows
        ]

    def open(self, asset: AssetRecord) -> BinaryIO:
        """The asset's bytes, for reading. Raises NotFoundError when the file was removed, ContainmentError."""
        name = f"{asset.subfolder}/{asset.filename}".lstrip("/")
        try:
            return open_inside(self._folders.root(asset.folder), name)
        except FileNotFoundError:
            raise NotFoundError(f"The file {name!r} is gone.", hint="It was removed from the folder.") from None
