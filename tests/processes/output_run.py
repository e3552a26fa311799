"""Stages one output as a worker does and places it as the server does, to be watched: `output_run.py FOLDER`."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from engine.protocol.messages import OutputsStaged, StagedFile
from engine.server.database import Database
from engine.server.feed import Feed
from engine.server.jobs import JobStore
from engine.server.outputs import OutputPlacer
from engine.server.placing import PlacingDesk
from engine.worker.staging import stage_bytes
from tests.server_harness import settings_in


async def main(folder: Path) -> None:
    settings = settings_in(folder)
    database = Database.open(settings.database)
    store = JobStore(database, Feed(), time.time, 100)
    await store.load()
    placer = OutputPlacer(settings.folders)
    staged = stage_bytes(placer.staging, b"picture", "png")
    message = OutputsStaged("job", 1, "1", [StagedFile(staged, 7, "image/png", "output", "sub/p", "png", 0)])
    placements = await store.change(lambda change: placer.name(change, message))
    await PlacingDesk(store, placer).place(message, placements)
    database.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
