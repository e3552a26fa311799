"""Placing staged files: from the names reserved for them to the note that the files are there."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable, Sequence
from typing import TypeVar

from engine.protocol.messages import OutputsStaged, PlacedFile
from engine.server import leases
from engine.server.change import Change
from engine.server.failures import StorageFailed
from engine.server.jobs import JobStore
from engine.server.outputs import OutputPlacer, Placement

__all__ = ["PlacingDesk"]

Result = TypeVar("Result")
_RETRY_S = 1.0
_log = logging.getLogger(__name__)


class PlacingDesk:
    """Places the files of nodes. Two attempts at one node of a job never place at the same time."""

    def __init__(self, store: JobStore, placer: OutputPlacer) -> None:
        self._store = store
        self._placer = placer
        self._turns: weakref.WeakValueDictionary[tuple[str, str], asyncio.Lock] = weakref.WeakValueDictionary()

    async def place(self, message: OutputsStaged, placements: Sequence[Placement]) -> list[PlacedFile]:
        """Place named files and mark them with the event (if the lease lasts); their visible places.

        Raises OSError when a file cannot be placed, ContainmentError when links lead outside.
        """
        turn = self._turns.setdefault((message.job, message.node), asyncio.Lock())
        must_look_again = turn.locked()
        async with turn:
            if must_look_again:  # the attempt before may have placed its files, or moved to other names
                placements = await self._change(lambda change: self._placer.name(change, message))
            placements = await self._place(list(placements))
            files = [_placed_file(placement) for placement in placements]
            await self._change(lambda change: self._mark(change, message, placements, files))
        await asyncio.to_thread(self._discard, placements)
        return files

    async def _place(self, placements: list[Placement]) -> list[Placement]:
        """The placements as they are on disk in the end: with the next number where a foreign file had the name."""
        while not all(results := await asyncio.to_thread(self._placer.place, placements)):
            for index, is_placed in enumerate(results):
                if not is_placed:
                    placements[index] = await self._rename(placements[index])
        return placements

    async def _rename(self, placement: Placement) -> Placement:
        return await self._change(lambda change: self._placer.rename(change, placement))

    def _mark(
        self, change: Change, message: OutputsStaged, placements: Sequence[Placement], files: Sequence[PlacedFile]
    ) -> None:
        self._placer.mark(change, placements)
        head = leases.held(change, message.job, message.epoch)
        if head is not None:
            shown = [
                {"filename": f.filename, "subfolder": f.subfolder, "type": f.type, "asset": f.asset} for f in files
            ]
            change.append(head, "outputs_placed", {"node": message.node, "files": shown})

    def _discard(self, placements: Sequence[Placement]) -> None:
        try:
            self._placer.discard_staged(placements)
        except OSError as error:
            _log.warning("A staged file stays until the next start: %s", error)

    async def _change(self, operation: Callable[[Change], Result]) -> Result:
        """Run a transaction, again and again while the disk refuses: the job waits, and nothing is made twice."""
        while True:
            try:
                return await self._store.change(operation)
            except StorageFailed as error:
                _log.error("Outputs could not be noted; trying again: %s", error)
                await asyncio.sleep(_RETRY_S)


def _placed_file(placement: Placement) -> PlacedFile:
    return PlacedFile(placement.filename, placement.subfolder, placement.folder, placement.asset)
