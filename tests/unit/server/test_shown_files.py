"""A cached node says which assets it shows: nothing is placed, so no other event could."""

from __future__ import annotations

from engine.core.ids import JobId
from engine.graph.schema import Catalog
from engine.protocol.messages import JobReport, OutputsStaged, StagedFile
from engine.server.inbox import Held, Letter, apply
from engine.server.outputs import OutputPlacer
from tests.server_harness import settings_in
from tests.unit.server.store_fixtures import claim, new_job, opened

NAME = {"filename": "p_00001_.png", "subfolder": "deep", "type": "output"}
GONE = {**NAME, "filename": "p_00002_.png"}


async def test_a_cached_node_names_the_assets_of_the_files_it_shows(tmp_path):
    placer = OutputPlacer(settings_in(tmp_path).folders)
    placer.staging.mkdir(parents=True)
    (placer.staging / "ab.png").write_bytes(b"picture")
    staged = OutputsStaged("first", 1, "9", [StagedFile("ab.png", 7, "image/png", "output", "deep/p", "png", 0)])
    async with opened(tmp_path) as store:
        placements = await store.change(lambda change: placer.name(change, staged))
        placer.place(placements)
        await store.change(lambda change: placer.mark(change, placements))
        await store.submit(new_job(store, "second"))
        (grant,) = await claim(store)
        held = Held("second", "w", 1, grant.epoch, False, None)

        def report(**data) -> Letter:
            return Letter(JobReport("second", grant.epoch, "node_finished", {"node": "9", **data}), (held,))

        letters = [
            report(cached=True, ui={"images": [NAME, GONE], "text": ["words"]}),
            report(cached=True, ui=None),
            report(cached=False, ui={"images": [NAME]}),
        ]
        await store.change(lambda change: apply(change, letters, placer, Catalog({})))
        shown = [event.data.get("files") for event in await store.events(JobId("second"), 0, 100)]
    assert shown[-3:] == [[{**NAME, "asset": placements[0].asset}], None, None]
