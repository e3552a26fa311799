"""The data of a run as a whole: sources by kind, batches, workers, errors."""

from __future__ import annotations

import pickle
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from engine.training.config.error import ConfigError
from engine.training.config.resolve import resolve, to_plain
from engine.training.data.place import Place
from engine.training.data.recipe import Data, DataRecipe
from engine.training.data.reports import DataError
from engine.training.data.source import OpenContext

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

PICTURES = {
    "kind": "image_folder",
    "path": ".",
    "size": 32,
    "crop": "random",
    "flips": True,
    "buckets": {"multiple": 16},
}
POSTCARDS = {"kind": "postcards", "size": 64}
SYNTHETIC = {
    "kind": "synthetic",
    "num_items": 7,
    "fields": [{"key": "image", "values": "pixels", "shape": [3, 8, 8]}, {"key": "text", "values": "text"}],
}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for number in range(9):
        size = [(48, 24), (32, 32), (20, 60)][number % 3]
        Image.effect_noise(size, 90).convert("RGB").save(tmp_path / f"{number}.png")
        (tmp_path / f"{number}.txt").write_text(f"number {number}")
    (tmp_path / "3.png").write_bytes(b"no picture")
    return tmp_path


def opened(folder: Path, source: dict[str, Any], seed: int = 0, **fields: Any) -> Data:
    recipe = resolve(DataRecipe, {"source": source, "batch_size": 3, **fields})
    return recipe.open(OpenContext(folder, seed))


def assert_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key], key


@pytest.mark.parametrize("source", [PICTURES, POSTCARDS, SYNTHETIC], ids=lambda source: source["kind"])
def test_batches_are_the_same_for_any_number_of_workers_and_after_a_resume(
    pictures: Path, source: dict[str, Any]
) -> None:
    alone = list(islice(opened(pictures, source).batches(), 9))
    for num_workers, start in ((1, 0), (2, 4)):
        data = opened(pictures, source, num_workers=num_workers)
        for one, other in zip(alone[start:], data.batches(start_step=start), strict=False):
            assert_equal(one, other)
    different = next(iter(opened(pictures, source, seed=1).batches()))
    assert different["text"] != alone[0]["text"]


@pytest.mark.parametrize("source", [PICTURES, POSTCARDS, SYNTHETIC], ids=lambda source: source["kind"])
def test_a_source_can_be_sent_to_a_process_that_was_not_forked(pictures: Path, source: dict[str, Any]) -> None:
    original = opened(pictures, source).source
    copy = pickle.loads(pickle.dumps(original))
    assert_equal(copy[Place(0, 4)], original[Place(0, 4)])  # type: ignore[index]


def test_problems_found_in_worker_processes_are_reported_in_the_main_process(
    pictures: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = opened(pictures, {**PICTURES, "buckets": None}, num_workers=2)
    batches = list(islice(data.batches(), 12))
    assert data.reports.counts() == {"corrupt_picture": 1}
    assert [record.message.split(":")[0] for record in caplog.records] == ["3.png"]
    assert all("problems" not in batch for batch in batches)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_in_a_worker_process_keeps_its_type_sentence_and_remedy(tmp_path: Path, num_workers: int) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    data = opened(tmp_path, {**PICTURES, "captions": "none", "buckets": None}, num_workers=num_workers)
    with pytest.raises(DataError, match=r"^Nothing can be read; 1 problem\(s\): a\.png") as caught:
        next(iter(data.batches()))
    assert caught.value.code == "nothing_readable"
    assert "pictures with captions" in caught.value.hint


def test_every_iteration_begins_at_the_start_step(tmp_path: Path) -> None:
    batches = opened(tmp_path, SYNTHETIC).batches(start_step=3, rank=1, world=2)
    first, again = next(iter(batches)), next(iter(batches))
    assert_equal(first, again)
    assert first["first_draw"] == (3 * 2 + 1) * 3


def test_ranks_have_different_examples_of_one_order(tmp_path: Path) -> None:
    source = {**SYNTHETIC, "num_items": 12}
    together = list(islice(opened(tmp_path, source, batch_size=6).batches(), 4))
    data = opened(tmp_path, source)
    ranks = [list(islice(data.batches(rank=rank, world=2), 4)) for rank in (0, 1)]
    for whole, first, second in zip(together, *ranks, strict=True):
        assert torch.equal(whole["image"], torch.cat([first["image"], second["image"]]))


def test_synthetic_items_have_the_declared_shapes_and_depend_on_the_index_alone(tmp_path: Path) -> None:
    fields = [
        {"key": "image", "values": "pixels", "shape": [1, 4, 6]},
        {"key": "latent", "values": "normal", "shape": [4, 2, 2]},
        {"key": "class", "values": "whole", "below": 3},
        {"key": "target_size", "values": "whole", "shape": [2], "below": 100},
        {"key": "text", "values": "text"},
    ]
    source = opened(tmp_path, {"kind": "synthetic", "fields": fields}).source
    example = source[Place(5, 1)]  # type: ignore[index]
    assert example["image"].shape == (1, 4, 6)
    assert example["image"].abs().max() <= 1
    assert example["class"] in range(3)
    assert example["target_size"].dtype == torch.int64
    assert_equal(example, source[Place(5, 99)])  # type: ignore[index]
    assert not torch.equal(example["latent"], source[Place(6, 1)]["latent"])  # type: ignore[index]


def test_every_draw_of_the_postcards_is_another_scene(tmp_path: Path) -> None:
    data = opened(tmp_path, POSTCARDS, batch_size=8)
    batch = next(iter(data.batches()))
    assert batch["image"].shape == (8, 3, 64, 64)
    assert -1 <= batch["image"].min() < -0.2
    assert 0.2 < batch["image"].max() <= 1
    assert len(set(batch["text"])) == 8
    held_out = next(iter(opened(tmp_path, {**POSTCARDS, "split": "held_out"}, batch_size=8).batches()))
    assert set(batch["text"]).isdisjoint(held_out["text"])


def test_excluded_words_do_not_occur_and_plain_captions_name_everything(tmp_path: Path) -> None:
    from engine.training.postcards import caption_of, scene_at

    source = {**POSTCARDS, "exclude_styles": ["woodcut"], "exclude_kinds": ["house", "tree"], "plain_captions": 1.0}
    data = opened(tmp_path, source)
    for draw in range(30):
        place = Place(0, draw)
        scene = scene_at(draw, exclude_styles=("woodcut",), exclude_kinds=("house", "tree"))
        plain = caption_of(scene, 0).text
        assert data.source[place]["text"] == plain  # type: ignore[index]
        assert data.source.captions(place, 3)[0] == plain  # type: ignore[union-attr]
        assert not {"house", "houses", "tree", "trees", "woodcut"} & set(plain.split())


def test_only_scenes_with_what_is_asked_for_are_drawn_even_where_training_keeps_it_back(tmp_path: Path) -> None:
    source = {**POSTCARDS, "shows": ["purple house", "red car"], "plain_captions": 1.0}
    data = opened(tmp_path, source)
    shown = [data.source.captions(Place(0, draw), 1)[0] for draw in range(20)]  # type: ignore[union-attr]
    assert all("purple house" in text or "red car" in text for text in shown)
    assert len(set(shown)) == 20
    assert any("purple house" in text for text in shown)
    assert any("red car" in text for text in shown)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"shows": ["purple"]}, "shows has 'purple'; it names a colour and a kind"),
        ({"shows": ["purple moon"]}, "shows has 'purple moon'"),
        ({"shows": ["red house"], "exclude_kinds": ["house"]}, "shows names a kind that exclude_kinds leaves out"),
    ],
)
def test_a_scene_that_cannot_be_is_not_asked_for(words: dict[str, list[str]], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        resolve(DataRecipe, {"source": {**POSTCARDS, **words}, "batch_size": 1})


def test_a_postcards_recipe_with_an_unknown_word_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"source: exclude_styles has 'oil'; known are flat"):
        resolve(DataRecipe, {"source": {**POSTCARDS, "exclude_styles": ["oil"]}, "batch_size": 1})
    with pytest.raises(ConfigError, match=r"source\.kind is 'imagefolder'") as caught:
        resolve(DataRecipe, {"source": {"kind": "imagefolder"}, "batch_size": 1})
    assert "Did you mean 'image_folder'" in caught.value.hint


def test_a_recipe_survives_being_written_out() -> None:
    data = {"source": PICTURES, "batch_size": 2, "latent_cache": {"path": "cache", "num_items": 5}}
    recipe = resolve(DataRecipe, data)
    assert resolve(DataRecipe, to_plain(recipe)) == recipe


def test_digests_tell_sources_apart(pictures: Path) -> None:
    digests = [opened(pictures, source).digest for source in (PICTURES, POSTCARDS, SYNTHETIC)]
    digests += [
        opened(pictures, {**POSTCARDS, "seed": 1}).digest,
        opened(pictures, {**SYNTHETIC, "num_items": 8}).digest,
    ]
    assert len(set(digests)) == 5
    assert opened(pictures, POSTCARDS, seed=3).digest == digests[1]
