"""Two attempts at one node never leave two files, however they meet."""

from __future__ import annotations

import asyncio

import sqlalchemy as sa

from engine.protocol.messages import OutputsStaged, StagedFile
from engine.server.outputs import OutputPlacer
from engine.server.placing import PlacingDesk
from engine.server.tables import ASSETS
from tests.server_harness import settings_in
from tests.unit.server.store_fixtures import opened


def staged(placer: OutputPlacer, data: bytes, epoch: int) -> OutputsStaged:
    name = f"{data.hex() * 8}.{epoch}.png"
    (placer.staging / name).write_bytes(data)
    return OutputsStaged("job", epoch, "1", [StagedFile(name, len(data), "image/png", "output", "p", "png", 0)])


async def test_attempts_that_place_at_once_where_a_foreign_file_is_give_one_further_name(tmp_path):
    folders = settings_in(tmp_path).folders
    placer = OutputPlacer(folders)
    placer.staging.mkdir(parents=True)
    async with opened(tmp_path) as store:
        messages = [staged(placer, b"first", 1), staged(placer, b"other", 2)]
        named = [await store.change(lambda change, m=m: placer.name(change, m)) for m in messages]
        (folders.output / "p_00001_.png").write_bytes(b"foreign")
        desk = PlacingDesk(store, placer)
        files = await asyncio.gather(*(desk.place(m, placements) for m, placements in zip(messages, named)))
        assert [[file.filename for file in part] for part in files] == [["p_00002_.png"], ["p_00002_.png"]]
        query = sa.select(ASSETS.c.filename, ASSETS.c.digest, ASSETS.c.is_placed)
        rows = await store.read(lambda connection: [tuple(row) for row in connection.execute(query)])
        assert rows == [("p_00002_.png", b"first".hex() * 8, True)]
    contents = {path.name: path.read_bytes() for path in folders.output.iterdir()}
    assert contents == {"p_00001_.png": b"foreign", "p_00002_.png": b"first"}
    assert list(placer.staging.iterdir()) == []
