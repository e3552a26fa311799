"""Naming and placing outputs: exactly once, whatever ends in between."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from engine.core.errors import AtelierError
from engine.protocol.messages import OutputsStaged, StagedFile
from engine.server.outputs import OutputPlacer, link_exclusively
from engine.server.tables import ASSETS
from tests.server_harness import settings_in
from tests.unit.server.store_fixtures import opened


@pytest.fixture
def folders(tmp_path):
    return settings_in(tmp_path).folders


@pytest.fixture
def placer(folders):
    made = OutputPlacer(folders)
    made.staging.mkdir(parents=True)
    return made


def stage(placer: OutputPlacer, data: bytes, ordinal: int = 0, prefix: str = "p", **changes) -> StagedFile:
    name = f"{'ab' * 32}.{len(list(placer.staging.iterdir()))}.png"
    (placer.staging / name).write_bytes(data)
    return replace(StagedFile(name, len(data), "image/png", "output", prefix, "png", ordinal), **changes)


async def name(store, placer, *files: StagedFile, job: str = "job", node: str = "1"):
    return await store.change(lambda change: placer.name(change, OutputsStaged(job, 1, node, list(files))))


async def settle(store, placer, placements) -> list[str]:
    assert all(placer.place(placements))
    await store.change(lambda change: placer.mark(change, placements))
    placer.discard_staged(placements)
    return [placement.filename for placement in placements]


async def rows(store) -> list[tuple[str, bool]]:
    query = sa.select(ASSETS.c.filename, ASSETS.c.is_placed).order_by(ASSETS.c.filename)
    return await store.read(lambda connection: [tuple(row) for row in connection.execute(query)])


async def test_below_a_file_a_name_is_reserved_and_only_placing_says_that_it_cannot_be(tmp_path, folders, placer):
    (folders.output / "taken").write_bytes(b"a file, no folder")
    async with opened(tmp_path) as store:
        placements = await name(store, placer, stage(placer, b"a", prefix="taken/p"))
        with pytest.raises(OSError, match="taken"):
            placer.place(placements)


async def test_numbers_go_on_after_the_highest_on_disk(tmp_path, folders, placer):
    (folders.output / "p_00041_.png").write_bytes(b"foreign")
    (folders.output / "p_00007_x.png").write_bytes(b"foreign")
    (folders.output / "pp_00099_.png").write_bytes(b"another prefix")
    async with opened(tmp_path) as store:
        placements = await name(store, placer, stage(placer, b"a"), stage(placer, b"b", 1))
        assert await settle(store, placer, placements) == ["p_00042_.png", "p_00043_.png"]
    assert (folders.output / "p_00042_.png").read_bytes() == b"a"


async def test_numbers_go_on_after_the_highest_in_the_store_though_the_file_is_gone(tmp_path, folders, placer):
    async with opened(tmp_path) as store:
        await settle(store, placer, await name(store, placer, stage(placer, b"a")))
        (folders.output / "p_00001_.png").unlink()
        fresh = OutputPlacer(folders)
        placements = await name(store, fresh, stage(placer, b"b"), job="other")
        assert await settle(store, fresh, placements) == ["p_00002_.png"]


async def test_a_second_attempt_gets_the_same_names_and_changes_nothing(tmp_path, folders, placer):
    async with opened(tmp_path) as store:
        first = await settle(store, placer, await name(store, placer, stage(placer, b"first")))
        again = await settle(store, placer, await name(store, placer, stage(placer, b"second")))
        assert again == first == ["p_00001_.png"]
        assert (folders.output / "p_00001_.png").read_bytes() == b"first"
        assert await rows(store) == [("p_00001_.png", True)]


async def test_a_foreign_file_that_took_the_name_is_not_touched(tmp_path, folders, placer):
    async with opened(tmp_path) as store:
        (placement,) = await name(store, placer, stage(placer, b"ours"))
        (folders.output / "p_00001_.png").write_bytes(b"foreign")
        assert placer.place([placement]) == [False]
        renamed = await store.change(lambda change: placer.rename(change, placement))
        assert await settle(store, placer, [renamed]) == ["p_00002_.png"]
        assert (folders.output / "p_00001_.png").read_bytes() == b"foreign"
        assert await rows(store) == [("p_00002_.png", True)]


async def test_a_file_without_number_replaces_the_one_before(tmp_path, folders, placer):
    async with opened(tmp_path) as store:
        for data, job in ((b"one", "a"), (b"two", "b")):
            await settle(store, placer, await name(store, placer, stage(placer, data, numbered=False), job=job))
        assert (folders.output / "p.png").read_bytes() == b"two"


@pytest.mark.parametrize("ended_after", ["name", "link", "mark"])
async def test_a_server_that_ends_between_the_steps_leaves_one_file_under_one_name(
    tmp_path, folders, placer, ended_after
):
    async with opened(tmp_path) as store:
        placements = await name(store, placer, stage(placer, b"data"))
        if ended_after != "name":
            placer.place(placements)
        if ended_after == "mark":
            await store.change(lambda change: placer.mark(change, placements))
    async with opened(tmp_path) as store:
        fresh = OutputPlacer(folders)
        await store.change(fresh.recover)
        assert await rows(store) == [("p_00001_.png", True)]
        assert list(fresh.staging.iterdir()) == []
        again = await settle(store, fresh, await name(store, fresh, stage(fresh, b"data")))
        assert again == ["p_00001_.png"]
    assert [path.name for path in folders.output.iterdir()] == ["p_00001_.png"]
    assert (folders.output / "p_00001_.png").read_bytes() == b"data"


@pytest.mark.parametrize("is_linked", [False, True])
async def test_the_first_file_to_get_a_name_keeps_it_when_another_attempt_comes_before_the_mark(
    tmp_path, folders, placer, is_linked
):
    async with opened(tmp_path) as store:
        first = await name(store, placer, stage(placer, b"first"))
        if is_linked:
            assert placer.place(first) == [True]
        second = await name(store, placer, stage(placer, b"second"))
        assert await settle(store, placer, second) == ["p_00001_.png"]
        assert (folders.output / "p_00001_.png").read_bytes() == b"first"
        assert await rows(store) == [("p_00001_.png", True)]
        assert list(placer.staging.iterdir()) == []


async def test_a_server_that_ends_between_two_attempts_keeps_the_file_that_is_seen(tmp_path, folders, placer):
    async with opened(tmp_path) as store:
        placer.place(await name(store, placer, stage(placer, b"first")))
        await name(store, placer, stage(placer, b"second"))
        fresh = OutputPlacer(folders)
        await store.change(fresh.recover)
        assert await rows(store) == [("p_00001_.png", True)]
        assert await settle(store, fresh, await name(store, fresh, stage(fresh, b"third"))) == ["p_00001_.png"]
    assert [(path.name, path.read_bytes()) for path in folders.output.iterdir()] == [("p_00001_.png", b"first")]


async def test_what_a_kill_left_of_a_copy_to_another_disk_goes_at_the_next_start(tmp_path, folders, placer):
    async with opened(tmp_path) as store:
        await name(store, placer, stage(placer, b"data"))
        for part in (".p_00001_.png.asset-1.part", ".p_00001_.png.asset-2.part", ".p_00002_.png.asset-3.part"):
            (folders.output / part).write_bytes(b"da")
        fresh = OutputPlacer(folders)
        await store.change(fresh.recover)
    assert sorted(path.name for path in folders.output.iterdir()) == [".p_00002_.png.asset-3.part", "p_00001_.png"]


async def test_a_name_whose_staged_file_is_lost_is_free_again(tmp_path, folders, placer):
    async with opened(tmp_path) as store:
        (placement,) = await name(store, placer, stage(placer, b"data"))
        placement.staged.unlink()
        fresh = OutputPlacer(folders)
        await store.change(fresh.recover)
        assert await rows(store) == []
        assert await settle(store, fresh, await name(store, fresh, stage(fresh, b"again"))) == ["p_00001_.png"]


async def test_a_file_that_cannot_be_placed_at_the_start_is_made_again_and_stops_nobody(tmp_path, folders, placer):
    async with opened(tmp_path) as store:
        await name(store, placer, stage(placer, b"data", prefix="sub/p"))
        (folders.output / "sub").symlink_to(tmp_path)
        fresh = OutputPlacer(folders)
        await store.change(fresh.recover)
        assert await rows(store) == []


@pytest.mark.parametrize(
    "changes",
    [{"prefix": "../x"}, {"prefix": "/x"}, {"prefix": "a/"}, {"folder": "input"}, {"folder": "user"},
     {"staged": "../../secret"}, {"staged": ""}, {"extension": "../png"}, {"extension": "a/b"}],
)  # fmt: skip
async def test_names_that_lead_elsewhere_are_refused(tmp_path, placer, changes):
    async with opened(tmp_path) as store:
        with pytest.raises(AtelierError):
            await name(store, placer, stage(placer, b"x", **changes))
        assert await rows(store) == []


def test_linking_never_replaces_and_copies_where_links_are_impossible(tmp_path, monkeypatch):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"new")
    target.write_bytes(b"old")
    assert not link_exclusively(source, target)

    def no_links(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_links)
    assert not link_exclusively(source, target)
    assert target.read_bytes() == b"old"
    assert link_exclusively(source, tmp_path / "free")
    assert (tmp_path / "free").read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["free", "source", "target"]


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a second file system")
def test_a_copy_to_another_disk_is_seen_whole_or_not_at_all(tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.write_bytes(b"whole")

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", broken)
            patch.setattr(os, "open", broken)
            assert link_exclusively(source, Path(other) / "target")
        assert [(path.name, path.read_bytes()) for path in Path(other).iterdir()] == [("target", b"whole")]
