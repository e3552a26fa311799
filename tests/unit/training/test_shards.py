"""Tar shards in the WebDataset layout: order, worker processes, continuing, and damaged files."""

from __future__ import annotations

import io
import json
import sys
import tarfile
import warnings
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
import webdataset
from PIL import Image

from engine.training.data.collate import Batch
from engine.training.data.recipe import Data, DataRecipe
from engine.training.data.reports import DataError, DataReports
from engine.training.data.shards import ShardsRecipe
from engine.training.data.source import OpenContext
from engine.training.data.worker_process import usable_workers

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def png(color: tuple[int, int, int], size: int = 8) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (size, size), color).save(stream, "PNG")
    return stream.getvalue()


def write_shards(folder: Path, num_shards: int, num_samples: int) -> None:
    """Shards s of samples n with the caption "s-n"."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(num_shards):
        with webdataset.TarWriter(str(folder / f"set-{shard:02}.tar")) as writer:
            for number in range(num_samples):
                sample = {"png": png((shard, number, 0)), "txt": f"{shard}-{number}", "cls": str(shard)}
                writer.write({"__key__": f"{shard:02}/{number:04}", **sample})


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def opened(folder: Path, *, batch_size: int = 4, num_workers: int = 0, seed: int = 0, **fields: Any) -> Data:
    recipe = ShardsRecipe(**{"urls": ("*.tar",), "size": 8, "num_lanes": 2, "window": 4, **fields})
    context = OpenContext(folder, seed, DataReports())
    return DataRecipe(source=recipe, batch_size=batch_size, num_workers=num_workers).open(context)


def texts(batches: Iterator[Batch] | Any, count: int) -> list[list[str]]:
    return [batch["text"] for batch in islice(iter(batches), count)]


def one_epoch(folder: Path, **fields: Any) -> tuple[Counter[str], DataReports]:
    """Captions of a single lane's first windows, which hold every sample once."""
    data = opened(folder, num_lanes=1, batch_size=1, window=1, **fields)
    found = Counter(text for [text] in texts(data.batches(), 5))
    return found, data.reports


def test_samples_are_pictures_with_captions_classes_and_sizes(tmp_path: Path) -> None:
    write_shards(tmp_path, 1, 3)
    batch = next(iter(opened(tmp_path, batch_size=2, label="cls").batches()))
    assert batch["image"].shape == (2, 3, 8, 8)
    assert batch["class"].tolist() == [0, 0]
    assert batch["original_size"].tolist() == [[8, 8], [8, 8]]
    assert batch["first_draw"] == 0
    for image, text in zip(batch["image"], batch["text"], strict=True):
        assert image[1, 0, 0] == pytest.approx(int(text.split("-")[1]) / 127.5 - 1)


@pytest.mark.parametrize(("num_shards", "num_samples"), [(4, 6), (1, 12), (3, 5)])
def test_every_sample_comes_once_an_epoch(tmp_path: Path, num_shards: int, num_samples: int) -> None:
    write_shards(tmp_path, num_shards, num_samples)
    total = num_shards * num_samples
    data = opened(tmp_path, batch_size=1, num_lanes=1, window=1)
    for epoch in range(2):
        batches = data.batches(start_step=epoch * total)
        visits = Counter(text for [text] in texts(batches, total))
        assert len(visits) == total
        assert set(visits.values()) == {1}


def test_order_follows_the_seed_and_differs_between_epochs(tmp_path: Path) -> None:
    write_shards(tmp_path, 4, 6)
    first = texts(opened(tmp_path).batches(), 12)
    assert texts(opened(tmp_path).batches(), 12) == first
    assert texts(opened(tmp_path, seed=1).batches(), 12) != first
    assert first[:6] != first[6:]


@pytest.mark.parametrize("num_shards", [1, 4])
def test_the_number_of_worker_processes_changes_nothing(tmp_path: Path, num_shards: int) -> None:
    write_shards(tmp_path, num_shards, 7)
    alone = list(islice(opened(tmp_path, crop="random", flips=True).batches(start_step=1), 6))
    shared = list(islice(opened(tmp_path, crop="random", flips=True, num_workers=2).batches(start_step=1), 6))
    for one, other in zip(alone, shared, strict=True):
        assert one["text"] == other["text"]
        assert torch.equal(one["image"], other["image"])
        assert one["first_draw"] == other["first_draw"]


@pytest.mark.parametrize("num_shards", [1, 5])
@pytest.mark.parametrize("step", [1, 6, 17])
def test_a_stream_that_starts_at_a_step_goes_on_as_one_that_came_there(
    tmp_path: Path, num_shards: int, step: int
) -> None:
    write_shards(tmp_path, num_shards, 5)
    whole = texts(opened(tmp_path).batches(), step + 6)
    assert texts(opened(tmp_path).batches(start_step=step), 6) == whole[step:]


def test_ranks_share_the_samples_of_an_epoch(tmp_path: Path) -> None:
    write_shards(tmp_path, 2, 4)
    data = opened(tmp_path, batch_size=1, num_lanes=1, window=1)
    seen = [text for rank in (0, 1) for [text] in texts(data.batches(rank=rank, world=2), 4)]
    assert sorted(seen) == [f"{shard}-{number}" for shard in range(2) for number in range(4)]


def test_processes_are_as_many_as_share_the_lanes_and_have_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(6)), raising=False)
    assert [usable_workers(count) for count in (0, 1, 6, 64)] == [0, 1, 6, 6]
    assert [usable_workers(count, 8) for count in (0, 1, 3, 5, 64)] == [0, 1, 2, 4, 4]


@pytest.mark.parametrize("num_whole", [1, 2, 4])
def test_a_truncated_shard_gives_what_was_before_the_cut_and_is_reported(tmp_path: Path, num_whole: int) -> None:
    write_shards(tmp_path, 1, 5)
    path = tmp_path / "set-00.tar"
    with tarfile.open(path) as archive:
        cut = archive.getmembers()[3 * num_whole + 1].offset_data + 1
    path.write_bytes(path.read_bytes()[:cut])
    found, reports = one_epoch(tmp_path)
    assert set(found) == {f"0-{number}" for number in range(num_whole)}
    assert reports.counts() == {"corrupt_shard": 1}
    assert "set-00.tar" in reports.problems[0].path


def test_a_shard_cut_at_any_block_is_continued_as_it_was_read(tmp_path: Path) -> None:
    write_shards(tmp_path / "whole", 2, 4)
    content = (tmp_path / "whole" / "set-01.tar").read_bytes()
    for blocks in range(2, len(content) // 512, 3):
        folder = tmp_path / str(blocks)
        write_shards(folder, 1, 4)
        (folder / "set-01.tar").write_bytes(content[: blocks * 512 + 100])
        whole = texts(opened(folder, batch_size=2, num_lanes=1).batches(), 12)
        for step in (3, 8):
            assert (
                texts(opened(folder, batch_size=2, num_lanes=1).batches(start_step=step), 4) == whole[step : step + 4]
            )


@pytest.mark.parametrize("content", [b"", b"no archive at all" * 100], ids=["empty", "garbage"])
def test_a_file_that_is_no_archive_is_reported_and_the_others_are_read(tmp_path: Path, content: bytes) -> None:
    write_shards(tmp_path, 1, 3)
    (tmp_path / "bad.tar").write_bytes(content)
    found, reports = one_epoch(tmp_path)
    assert set(found) == {"0-0", "0-1", "0-2"}
    assert reports.counts() == {"corrupt_shard": 1}


def test_a_damaged_header_in_the_middle_is_reported(tmp_path: Path) -> None:
    write_shards(tmp_path, 1, 5)
    path = tmp_path / "set-00.tar"
    with tarfile.open(path) as archive:
        offset = archive.getmembers()[7].offset
    content = bytearray(path.read_bytes())
    content[offset : offset + 200] = b"\xff" * 200
    path.write_bytes(content)
    found, reports = one_epoch(tmp_path)
    assert set(found) == {"0-0", "0-1"}
    assert reports.counts() == {"corrupt_shard": 1}


def test_a_window_of_which_nothing_is_readable_gives_way_to_the_next(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number in range(8):
            add(archive, f"{number}.png", png((1, 2, 3)) if number == 6 else b"no picture")
            add(archive, f"{number}.txt", str(number).encode())
    data = opened(tmp_path, batch_size=2, num_lanes=1, window=2)
    assert texts(data.batches(), 4) == [["6", "6"]] * 4
    assert texts(data.batches(start_step=3), 4) == [["6", "6"]] * 4
    assert data.reports.counts() == {"corrupt_picture": 7}
    (tmp_path / "a.tar").unlink()
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "a.png", b"no picture")
    with pytest.raises(DataError, match=r"Nothing can be read.*a\.tar/a"):
        next(iter(opened(tmp_path, num_workers=1).batches()))


def test_no_readable_shard_at_all_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bad.tar").write_bytes(b"x" * 2000)
    with pytest.raises(DataError, match=r"Nothing can be read.*bad\.tar"):
        next(iter(opened(tmp_path).batches()))


def test_members_that_cannot_be_used_are_reported_and_replaced(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        for name, content in (
            ("good.png", png((1, 2, 3))), ("good.txt", b"good"), ("cut.png", png((1, 2, 3))[:40]), ("cut.txt", b"cut"),
            ("bytes.png", png((1, 2, 3))), ("bytes.txt", b"\xff\xfe\xe9"), ("alone.png", png((1, 2, 3))),
            ("words.txt", b"no picture"), ("noextension", b""),
        ):  # fmt: skip
            add(archive, name, content)
    data = opened(tmp_path, batch_size=5, num_lanes=1, window=5)
    batch = next(iter(data.batches()))
    assert batch["text"] == ["good"] * 5
    assert data.reports.counts() == {"corrupt_picture": 2, "missing_caption": 2}
    assert {problem.path.rsplit("/", 1)[1] for problem in data.reports.problems} == {"cut", "bytes", "alone", "words"}


def test_captions_are_read_from_a_field_of_a_json_member(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "a.png", png((1, 2, 3)))
        add(archive, "a.json", json.dumps({"caption": " from json "}).encode())
        add(archive, "b.png", png((1, 2, 3)))
        add(archive, "b.json", b'{"caption": 5}')
    data = opened(tmp_path, batch_size=2, caption="json.caption", window=2, num_lanes=1)
    assert next(iter(data.batches()))["text"] == ["from json", "from json"]
    assert data.reports.counts() == {"missing_caption": 1}
    data = opened(tmp_path, batch_size=2, caption="json.caption", window=2, num_lanes=1, missing_caption="empty")
    assert sorted(next(iter(data.batches()))["text"]) == ["", "from json"]


def test_compressed_shards_braces_and_folders_are_understood(tmp_path: Path) -> None:
    write_shards(tmp_path / "sub", 3, 2)
    with tarfile.open(tmp_path / "z.tar.gz", "w:gz") as archive:
        add(archive, "a.png", png((1, 2, 3)))
        add(archive, "a.txt", b"zipped")
    found, reports = one_epoch(tmp_path, urls=("sub/set-{00..01}.tar",))
    assert set(found) == {"0-0", "0-1", "1-0", "1-1"}
    assert len(texts(opened(tmp_path, urls=("sub",)).batches(), 3)) == 3
    assert set(one_epoch(tmp_path, urls=("z.tar.gz",))[0]) == {"zipped"}
    assert reports.counts() == {}


def test_shards_that_are_missing_or_would_run_a_command_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No shard matches"):
        opened(tmp_path)
    with pytest.raises(DataError, match=r"There is no shard .*a\.tar"):
        opened(tmp_path, urls=("a.tar",))
    with pytest.raises(DataError, match="cannot be read from 'pipe:touch x'"):
        opened(tmp_path, urls=("pipe:touch x",))


def test_without_the_package_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(DataError, match="webdataset") as caught:
        opened(tmp_path)
    assert "main.py train" in caught.value.hint


def test_shards_are_read_over_http(tmp_path: Path) -> None:
    import http.server
    import threading

    write_shards(tmp_path, 1, 3)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/set-00.tar"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            found, reports = one_epoch(tmp_path, urls=(address,))
        server.shutdown()
    assert set(found) == {"0-0", "0-1", "0-2"}
    assert reports.counts() == {}


def test_the_digest_changes_with_the_files_and_not_with_the_lanes(tmp_path: Path) -> None:
    write_shards(tmp_path, 1, 2)
    plain = opened(tmp_path).digest
    assert opened(tmp_path, num_lanes=4).digest == plain
    assert opened(tmp_path, size=16).digest != plain
    write_shards(tmp_path, 2, 2)
    assert opened(tmp_path).digest != plain
