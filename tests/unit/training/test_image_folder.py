"""Folders of pictures: captions, classes, frames, buckets, and files that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine.training.config.resolve import resolve
from engine.training.data.buckets import BucketRecipe
from engine.training.data.image_folder import ImageFolder, ImageFolderRecipe
from engine.training.data.place import Place
from engine.training.data.reports import DataError, DataReports
from engine.training.data.source import PROBLEMS_KEY, OpenContext


def picture(
    path: Path, color: tuple[int, ...] = (200, 100, 50), size: tuple[int, int] = (32, 32), **options: Any
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = "RGBA" if len(color) == 4 else "RGB"
    Image.new(mode, size, color).save(path, **options)


def captioned(folder: Path, names: str) -> None:
    for number, name in enumerate(names.split()):
        picture(folder / f"{name}.png", (10 * number, 20, 30))
        (folder / f"{name}.txt").write_text(f"picture {name}")


def opened(folder: Path, seed: int = 0, reports: DataReports | None = None, **fields: Any) -> ImageFolder:
    context = OpenContext(folder, seed, reports or DataReports())
    return ImageFolderRecipe(**{"path": Path(), "size": 32, **fields}).open(context)


def reasons(reports: DataReports) -> dict[str, str]:
    return {problem.path: problem.kind for problem in reports.problems}


def test_pictures_of_all_folders_are_found_in_the_order_of_their_names(tmp_path: Path) -> None:
    captioned(tmp_path, "b a")
    captioned(tmp_path / "inner", "c")
    picture(tmp_path / ".hidden" / "x.png")
    source = opened(tmp_path)
    assert [source[Place(n, 0)]["text"] for n in range(len(source))] == ["picture a", "picture b", "picture c"]


def test_an_image_is_scaled_to_minus_one_to_one_and_sized_as_asked(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", (0, 255, 51), size=(64, 48))
    example = opened(tmp_path, captions="none")[Place(0, 0)]
    assert example["image"].shape == (3, 32, 32)
    assert example["image"].dtype == torch.float32
    assert example["image"][:, 5, 5].tolist() == pytest.approx([-1.0, 1.0, -0.6])
    assert "text" not in example
    assert example["original_size"].tolist() == [48, 64]
    assert example["target_size"].tolist() == [32, 32]
    assert example["crop_top_left"].tolist() == [0, 5]


def test_the_lines_of_a_caption_file_are_captions_of_which_a_draw_chooses_one(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("one\n\n two \n")
    source = opened(tmp_path)
    texts = [source[Place(0, draw)]["text"] for draw in range(40)]
    assert set(texts) == {"one", "two"}
    assert texts == [source[Place(0, draw)]["text"] for draw in range(40)]
    assert source.captions(Place(0, 0), 5) == ("one", "two")


@pytest.mark.parametrize("name", ["captions.jsonl", "metadata.jsonl"])
def test_a_json_lines_file_gives_captions_and_its_bad_lines_are_reported(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "inner" / "b.png")
    lines = [
        json.dumps({"file_name": "a.png", "text": "first"}),
        "{",
        json.dumps({"file_name": "inner/b.png", "text": ["second", "third"]}),
        json.dumps({"file_name": "../c.png", "text": "outside"}),
        json.dumps({"file_name": "a.png", "text": 3}),
    ]
    (tmp_path / name).write_text("\n".join(lines))
    reports = DataReports()
    source = opened(tmp_path, reports=reports)
    assert source[Place(0, 0)]["text"] == "first"
    assert source.captions(Place(1, 0), 9) == ("second", "third")
    assert reports.counts() == {"corrupt_caption_file": 3}
    assert list(reasons(reports)) == [f"{name}:2", f"{name}:4", f"{name}:5"]


def test_a_text_file_goes_before_the_list_of_captions(tmp_path: Path) -> None:
    captioned(tmp_path, "a")
    (tmp_path / "captions.jsonl").write_text(json.dumps({"file_name": "a.png", "text": "from the list"}))
    assert opened(tmp_path)[Place(0, 0)]["text"] == "picture a"
    assert opened(tmp_path, captions="list")[Place(0, 0)]["text"] == "from the list"


def test_pictures_without_caption_are_reported_and_left_out_or_get_the_empty_text(tmp_path: Path) -> None:
    captioned(tmp_path, "a c")
    picture(tmp_path / "b.png")
    reports = DataReports()
    source = opened(tmp_path, reports=reports)
    assert len(source) == 2
    assert reasons(reports) == {"b.png": "missing_caption"}
    assert opened(tmp_path, missing_caption="empty")[Place(1, 0)]["text"] == ""


def test_folders_are_classes_and_name_pictures_without_caption(tmp_path: Path) -> None:
    picture(tmp_path / "red_house" / "x.png")
    picture(tmp_path / "boat" / "y.png")
    picture(tmp_path / "loose.png")
    reports = DataReports()
    source = opened(tmp_path, reports=reports, class_folders=True)
    found = [(source[Place(n, 0)]["class"], source[Place(n, 0)]["text"]) for n in range(len(source))]
    assert found == [(0, "boat"), (1, "red house")]
    assert reasons(reports) == {"loose.png": "missing_class"}


def test_orientation_is_applied_and_transparency_lies_on_white(tmp_path: Path) -> None:
    turned = Image.new("RGB", (40, 20), (0, 0, 0))
    turned.paste((255, 0, 0), (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise makes it upright
    turned.save(tmp_path / "a.jpg", exif=exif, quality=100, subsampling=0)
    picture(tmp_path / "b.png", (0, 0, 0, 0))
    source = opened(tmp_path, captions="none", size=20, buckets=BucketRecipe(10, 2.0))
    upright, clear = source[Place(0, 0)], source[Place(1, 0)]
    assert upright["original_size"].tolist() == [40, 20]
    height = upright["image"].shape[1]
    assert upright["image"][0, 2, 5] > 0.9 > -0.9 > upright["image"][0, height - 3, 5]
    assert clear["image"].min() == 1.0


def test_sixteen_bit_and_palette_pictures_are_read(tmp_path: Path) -> None:
    Image.fromarray(np.full((32, 32), 65535, dtype=np.uint16)).save(tmp_path / "a.png")
    Image.new("P", (32, 32), 0).save(tmp_path / "b.gif")
    source = opened(tmp_path, captions="none")
    assert source[Place(0, 0)]["image"].min() == 1.0
    assert source[Place(1, 0)]["image"].shape == (3, 32, 32)


def test_random_crops_and_flips_follow_the_draw_and_say_where_they_are(tmp_path: Path) -> None:
    columns = np.tile(np.arange(96, dtype=np.uint8)[None, :, None], (32, 1, 3))
    Image.fromarray(columns).save(tmp_path / "a.png")
    source = opened(tmp_path, captions="none", crop="random", flips=True)
    lefts, flipped = set(), 0
    for draw in range(40):
        example = source[Place(0, draw)]
        row = ((example["image"][0, 0] + 1) * 127.5).round().int().tolist()
        top, left = example["crop_top_left"].tolist()
        is_flipped = row[0] > row[-1]
        expected = list(range(left, left + 32))
        assert row == ([95 - column for column in expected] if is_flipped else expected)
        assert top == 0
        assert torch.equal(source[Place(0, draw)]["image"], example["image"])
        lefts.add(left)
        flipped += is_flipped
    assert len(lefts) > 15
    assert 8 < flipped < 32
    other = opened(tmp_path, seed=1, captions="none", crop="random", flips=True)
    assert any(not torch.equal(other[Place(0, d)]["image"], source[Place(0, d)]["image"]) for d in range(5))


def test_buckets_give_each_picture_the_frame_nearest_to_its_aspect(tmp_path: Path) -> None:
    for number, size in enumerate([(128, 32), (64, 64), (32, 128), (60, 64), (200, 50)]):
        picture(tmp_path / f"{number}.png", size=size)
    source = opened(tmp_path, captions="none", size=64, buckets=BucketRecipe(16, 4.0))
    shapes = {n: tuple(source[Place(n, 0)]["image"].shape[1:]) for n in range(len(source))}
    assert shapes == {0: (32, 128), 1: (64, 64), 2: (128, 32), 3: (64, 64), 4: (32, 128)}
    assert sorted(map(sorted, source.buckets)) == [[0, 4], [1, 3], [2]]


HOSTILE = {
    "truncated.png": "corrupt_picture",
    "empty.png": "corrupt_picture",
    "words.jpg": "corrupt_picture",
    "bomb.png": "corrupt_picture",
    "latin.png": "missing_caption",
    "silent.png": "missing_caption",
}


def hostile_folder(folder: Path) -> None:
    captioned(folder, "good zgood")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "truncated.png")
    content = (folder / "truncated.png").read_bytes()
    (folder / "truncated.png").write_bytes(content[: len(content) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "words.jpg").write_text("no picture at all")
    header = bytearray((folder / "good.png").read_bytes())
    header[16:24] = (60_000).to_bytes(4, "big") * 2
    import zlib

    header[29:33] = zlib.crc32(bytes(header[12:29])).to_bytes(4, "big")
    (folder / "bomb.png").write_bytes(header)
    for name in ("truncated", "empty", "words", "bomb"):
        (folder / f"{name}.txt").write_text(name)
    picture(folder / "latin.png")
    (folder / "latin.txt").write_bytes(b"caf\xe9")
    picture(folder / "silent.png")
    (folder / "silent.txt").write_text(" \n")


@pytest.mark.parametrize("buckets", [None, BucketRecipe(16, 2.0)])
def test_files_that_cannot_be_used_are_reported_and_replaced(tmp_path: Path, buckets: BucketRecipe | None) -> None:
    hostile_folder(tmp_path)
    reports = DataReports()
    source = opened(tmp_path, reports=reports, buckets=buckets)
    texts = []
    for number in range(len(source)):
        example = source[Place(number, number)]
        reports.extend(example[PROBLEMS_KEY])
        texts.append(example["text"])
    assert set(texts) == {"picture good", "picture zgood"}
    named = {Path(path).with_suffix("").name for path in reasons(reports)}
    assert named == {Path(name).with_suffix("").name for name in HOSTILE}
    assert reports.counts() == {"corrupt_picture": 4, "missing_caption": 2}


def test_a_problem_is_logged_once(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    hostile_folder(tmp_path)
    reports = DataReports()
    source = opened(tmp_path, reports=reports)
    for _ in range(3):
        for number in range(len(source)):
            reports.extend(source[Place(number, 0)][PROBLEMS_KEY])
    assert len(caplog.records) == len(HOSTILE)
    assert "truncated.png" in caplog.text


def test_a_picture_with_the_wrong_extension_is_read_all_the_same(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg", (255, 255, 255), format="PNG")
    assert opened(tmp_path, captions="none")[Place(0, 0)]["image"].min() == 1.0


def test_a_folder_without_a_readable_picture_is_an_error_that_names_the_first_problems(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    source = opened(tmp_path, captions="none")
    with pytest.raises(DataError, match=r"Nothing can be read; 1 problem.*a\.png"):
        source[Place(0, 0)]
    with pytest.raises(DataError, match=r"Nothing can be read; 1 problem.*a\.png"):
        opened(tmp_path, captions="none", buckets=BucketRecipe(16))
    with pytest.raises(DataError, match=r"Nothing can be read; 1 problem.*has no caption"):
        opened(tmp_path)


def test_a_folder_that_is_missing_or_empty_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no picture") as caught:
        opened(tmp_path)
    assert ".png" in caught.value.hint
    with pytest.raises(DataError, match="There is no folder"):
        opened(tmp_path, path=Path("elsewhere"))
    captioned(tmp_path, "a")
    with pytest.raises(DataError, match=r"captions\.jsonl"):
        opened(tmp_path, captions="list")


def test_the_digest_changes_with_the_files_and_the_recipe_and_not_with_the_folder(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    captioned(first, "a b")
    plain = opened(first).digest
    assert opened(first, seed=5).digest == plain
    assert opened(first, flips=True).digest != plain
    first.rename(second)
    assert opened(second).digest == plain
    (second / "a.txt").write_text("other words")
    assert opened(second).digest != plain


def test_a_recipe_is_resolved_from_a_mapping() -> None:
    data = {"kind": "image_folder", "path": "pictures", "size": 512, "buckets": {"multiple": 32}}
    expected = ImageFolderRecipe(path=Path("pictures"), size=512, buckets=BucketRecipe(32, 4.0))
    assert resolve(ImageFolderRecipe, data) == expected
