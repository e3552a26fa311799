"""Stored latents: built once, continued after a kill, refused when stale, read as a source."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from engine.nn.autoencoder import Autoencoder, AutoencoderConfig
from engine.training.data.image_folder import ImageFolderRecipe
from engine.training.data.latent_cache import LatentCacheRecipe, StoredLatents
from engine.training.data.latent_encoder import AutoencoderEncoder
from engine.training.data.latent_store import StoreHeader, StoreReader, StoreWriter, is_complete
from engine.training.data.place import Place
from engine.training.data.recipe import Data, DataRecipe
from engine.training.data.reports import DataError, DataReports
from engine.training.data.shards import ShardsRecipe
from engine.training.data.source import OpenContext
from engine.training.data.synthetic import SyntheticField, SyntheticRecipe

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@dataclass
class MeanEncoder:
    """Averages squares of 8 × 8 pixels; remembers how many pictures it saw. A tiny log variance beside, if asked."""

    digest: str = "mean"
    keeps_variance: bool = False
    fails_after: int = 1 << 30
    seen: list[int] = field(default_factory=list)

    def encode(self, pixels: Tensor) -> Tensor:
        if sum(self.seen) > self.fails_after:
            raise KeyboardInterrupt
        self.seen.append(len(pixels))
        mean = torch.nn.functional.avg_pool2d(pixels, 8)
        return torch.cat([mean, torch.full_like(mean, -4.0)], dim=1) if self.keeps_variance else mean


@dataclass
class Brightness:
    """Keeps whether pixels are bright, and the number of the item."""

    key: str = "bright"
    title: str = "measuring"
    digest: str = "bright"
    seen: list[int] = field(default_factory=list)
    fails_after: int = 1 << 30

    def packed(self, images: Tensor, places: Sequence[Place]) -> np.ndarray:
        if len(self.seen) > self.fails_after:
            raise KeyboardInterrupt
        self.seen += [place.draw for place in places]
        numbers = np.array([place.draw for place in places], np.uint8).reshape(-1, 1, 1, 1)
        return np.concatenate([(images[:, :1] > 0).numpy().astype(np.uint8), numbers.repeat(16, 2).repeat(16, 3)], 1)


SOURCE = SyntheticRecipe(
    fields=(
        SyntheticField(key="image", values="pixels", shape=(3, 16, 16)),
        SyntheticField(key="text", values="text"),
        SyntheticField(key="class", values="whole", below=9),
        SyntheticField(key="original_size", values="whole", shape=(2,), below=99),
    ),
    num_items=20,
)


def opened(
    folder: Path,
    encoder: Any,
    *,
    source: Any = SOURCE,
    seed: int = 0,
    num_workers: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
    companions: tuple[Any, ...] = (),
    **fields: Any,
) -> Data:
    cache = LatentCacheRecipe(**{"path": Path("cache"), "encode_batch_size": 3, **fields})
    options = {} if progress is None else {"progress": progress}
    context = OpenContext(folder, seed, DataReports(), encoder, companions, **options)
    recipe = DataRecipe(source=source, batch_size=4, num_workers=num_workers, latent_cache=cache)
    return recipe.open(context)


def test_a_stored_item_is_the_encoded_picture_with_everything_else_of_its_example(tmp_path: Path) -> None:
    data = opened(tmp_path, MeanEncoder())
    stored, plain = data.source, SOURCE.open(OpenContext(tmp_path, 0))
    assert isinstance(stored, StoredLatents)
    assert len(stored) == 20
    for index in (0, 7, 19):
        example, original = stored[Place(index, 5)], plain[Place(index, index)]
        expected = torch.nn.functional.avg_pool2d(original["image"], 8).half().float()
        assert torch.equal(example["latent"], expected)
        assert example["text"] == original["text"]
        assert example["class"] == original["class"]
        assert torch.equal(example["original_size"], original["original_size"])
        assert "image" not in example


def test_a_cache_is_built_once_and_tells_how_far_it_is(tmp_path: Path) -> None:
    first, second = MeanEncoder(), MeanEncoder()
    told: list[tuple[str, int, int]] = []
    opened(tmp_path, first, progress=lambda *step: told.append(step))
    opened(tmp_path, second, seed=7)
    assert sum(first.seen) == 20 + 1  # one picture tells the size
    assert second.seen == []
    assert told[-1] == ("encoding pictures", 20, 20)
    assert [step[1] for step in told] == [3, 6, 9, 12, 15, 18, 20]


def test_worker_processes_build_the_same_cache(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    opened(tmp_path / "a", MeanEncoder())
    opened(tmp_path / "b", MeanEncoder(), num_workers=2)
    for name in ("latents.f16", "items.jsonl", "header.json"):
        assert (tmp_path / "a/cache" / name).read_bytes() == (tmp_path / "b/cache" / name).read_bytes()


def test_an_interrupted_cache_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.training.data.latent_cache._FLUSH_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        opened(tmp_path, MeanEncoder(fails_after=9))
    assert not is_complete(tmp_path / "cache")
    (tmp_path / "whole").mkdir()
    encoder = MeanEncoder()
    opened(tmp_path, encoder)
    opened(tmp_path / "whole", MeanEncoder())
    assert sum(encoder.seen) == 20 - 9 + 1
    for name in ("latents.f16", "items.jsonl"):
        assert (tmp_path / "cache" / name).read_bytes() == (tmp_path / "whole/cache" / name).read_bytes()


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from engine.training.data.latent_store import StoreHeader, StoreWriter, folder_lock
folder, at = Path(sys.argv[1]), int(sys.argv[2])
with folder_lock(folder):
    writer = StoreWriter(folder, StoreHeader("d", 40, (1, 2, 2), False))
    for number in range(writer.num_done, 40):
        writer.append(np.full((1, 1, 2, 2), number, np.float16), [{"texts": [str(number)], "values": {}}])
        if number % 4 == 3:
            writer.flush()
        if number == at:
            writer._items.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    writer.finish()
"""


@pytest.mark.skipif(os.name == "nt", reason="kills with a POSIX signal")
def test_a_store_survives_kills_at_any_item(tmp_path: Path) -> None:
    for at in (0, 9, 23, -1):
        done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(at)], capture_output=True, text=True)
        assert done.returncode == (0 if at < 0 else -signal.SIGKILL), done.stderr
    reader = StoreReader(tmp_path)
    assert [reader.record(index)["texts"] for index in range(40)] == [[str(number)] for number in range(40)]
    assert reader.latents[:, 0, 0, 0].tolist() == list(range(40))


def test_a_store_whose_progress_is_garbage_is_begun_anew(tmp_path: Path) -> None:
    header = StoreHeader("d", 4, (1, 1, 1), False)
    writer = StoreWriter(tmp_path, header)
    writer.append(np.zeros((2, 1, 1, 1), np.float16), [{"texts": [], "values": {}}] * 2)
    writer.flush()
    writer.close()
    for progress, num_done in (((tmp_path / "progress.json").read_text(), 2), ('{"num_done": 99', 0)):
        (tmp_path / "progress.json").write_text(progress)
        writer = StoreWriter(tmp_path, header)
        assert writer.num_done == num_done
        writer.close()


@pytest.mark.parametrize(
    "change",
    [
        {"encoder": MeanEncoder("other")},
        {"encoder": MeanEncoder(keeps_variance=True)},
        {"num_items": 10},
        {"num_captions": 1},
        {"source": SyntheticRecipe(fields=SOURCE.fields, num_items=21)},
    ],
    ids=["weights", "variance", "num_items", "captions", "source"],
)
def test_a_stale_cache_is_refused_or_rebuilt(tmp_path: Path, change: dict[str, Any]) -> None:
    opened(tmp_path, MeanEncoder())
    arguments = {"encoder": MeanEncoder(), **change}
    with pytest.raises(DataError, match="made from other data") as caught:
        opened(tmp_path, **arguments)
    assert caught.value.code == "stale_latent_cache"
    assert "when_stale=rebuild" in caught.value.hint
    data = opened(tmp_path, **arguments, when_stale="rebuild")
    assert len(data.source) == change.get("num_items", change.get("source", SOURCE).num_items)


def test_damaged_files_are_an_error_that_names_the_folder(tmp_path: Path) -> None:
    opened(tmp_path, MeanEncoder())
    items = tmp_path / "cache" / "items.jsonl"
    items.write_bytes(items.read_bytes()[:-5])
    with pytest.raises(DataError, match=r"cache are damaged.*do not belong together"):
        next(iter(opened(tmp_path, MeanEncoder()).batches()))


def test_a_distribution_is_drawn_from_anew_for_every_draw(tmp_path: Path) -> None:
    stored = opened(tmp_path, MeanEncoder(keeps_variance=True), seed=3).source
    assert isinstance(stored, StoredLatents)
    mean = torch.nn.functional.avg_pool2d(SOURCE.open(OpenContext(tmp_path, 0))[Place(4, 4)]["image"], 8)
    drawn = torch.stack([stored[Place(4, draw)]["latent"] for draw in range(200)])
    assert drawn.shape == (200, 3, 2, 2)
    assert (drawn.mean(0) - mean).abs().max() < 4 * np.exp(-2) / np.sqrt(200)
    assert drawn.std(0).mean() == pytest.approx(np.exp(-2), rel=0.1)
    assert torch.equal(drawn[5], stored[Place(4, 5)]["latent"])


@pytest.mark.parametrize("keeps_variance", [False, True])
def test_latents_held_on_the_device_are_the_same_as_those_read_from_disk(tmp_path: Path, keeps_variance: bool) -> None:
    encoder = MeanEncoder(keeps_variance=keeps_variance)
    read = islice(opened(tmp_path, encoder, num_workers=2).batches(start_step=2), 5)
    held = islice(opened(tmp_path, encoder, hold="device").batches(start_step=2), 5)
    for one, other in zip(read, held, strict=True):
        assert one.keys() == other.keys()
        assert torch.equal(one["latent"], other["latent"])
        assert one["text"] == other["text"]
        assert torch.equal(one["class"], other["class"])
        assert one["first_draw"] == other["first_draw"]


def test_a_stored_source_is_pickled_without_its_latents(tmp_path: Path) -> None:
    stored = opened(tmp_path, MeanEncoder(), num_items=300, encode_batch_size=50).source
    expected = stored[Place(3, 3)]["latent"]  # type: ignore[index]
    copy = pickle.dumps(stored)
    assert len(copy) < 1000
    assert torch.equal(pickle.loads(copy)[Place(3, 3)]["latent"], expected)


def test_several_captions_of_a_picture_are_kept_and_a_draw_chooses_one(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (1, 2, 3)).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("one\ntwo\nthree\n")
    (tmp_path / "b.png").write_bytes(b"no picture")
    (tmp_path / "b.txt").write_text("broken")
    source = ImageFolderRecipe(path=Path(), size=16)
    data = opened(tmp_path, MeanEncoder(), source=source, num_captions=2, num_items=6)
    texts = {data.source[Place(1, draw)]["text"] for draw in range(30)}  # type: ignore[index]
    assert texts == {"one", "two"}
    assert data.reports.counts() == {"corrupt_picture": 1}


def test_what_cannot_be_cached_says_why(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs a first stage"):
        opened(tmp_path, None)
    (tmp_path / "a.tar").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be cached"):
        opened(tmp_path, MeanEncoder(), source=ShardsRecipe(urls=("a.tar",), size=8))
    fields = (SyntheticField(key="latent", values="normal", shape=(4, 2, 2)),)
    with pytest.raises(DataError, match="Only sources of pictures"):
        opened(tmp_path, MeanEncoder(), source=SyntheticRecipe(fields=fields))
    with pytest.raises(DataError, match="num_items is missing"):
        opened(tmp_path, MeanEncoder(), source=SyntheticRecipe(fields=SOURCE.fields, num_items=1))


def test_latents_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    class Exploding(MeanEncoder):
        def encode(self, pixels: Tensor) -> Tensor:
            return super().encode(pixels) * 1e6

    with pytest.raises(DataError, match="not finite"):
        opened(tmp_path, Exploding())


def test_an_autoencoder_encodes_to_network_scale() -> None:
    torch.manual_seed(0)
    autoencoder = Autoencoder(AutoencoderConfig(32, (1, 1), 1, 4)).eval()
    for weight in autoencoder.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    pixels = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        mean, log_variance = autoencoder.encode(pixels).chunk(2, dim=1)
    both = AutoencoderEncoder(autoencoder, "d", scale=0.5, shift=0.1).encode(pixels)
    assert torch.allclose(both[:, :4], (mean - 0.1) * 0.5)
    assert torch.allclose(both[:, 4:].exp(), log_variance.exp() * 0.25, rtol=1e-4)
    alone = AutoencoderEncoder(autoencoder, "d", scale=0.5, shift=0.1, keeps_variance=False).encode(pixels)
    assert torch.equal(alone, both[:, :4])


def test_the_header_of_another_format_is_a_stale_one(tmp_path: Path) -> None:
    opened(tmp_path, MeanEncoder())
    header = tmp_path / "cache" / "header.json"
    header.write_text(json.dumps({**json.loads(header.read_text()), "format": 0}))
    encoder = MeanEncoder()
    opened(tmp_path, encoder)
    assert sum(encoder.seen) == 21


# ------------------------------------------------------------------ companions


def test_a_companion_lies_beside_the_latent_it_was_made_with(tmp_path: Path) -> None:
    opened(tmp_path, MeanEncoder())
    encoder, plain = MeanEncoder(), SOURCE.open(OpenContext(tmp_path, 0))
    for hold in ("disk", "device"):
        data = opened(tmp_path, encoder, companions=(Brightness(),), hold=hold)
        batch = next(iter(data.batches()))
        assert (batch["bright"].dtype, tuple(batch["bright"].shape)) == (torch.uint8, (4, 2, 16, 16))
        for row in range(4):
            image = plain[Place(item := int(batch["bright"][row, 1, 0, 0]), item)]["image"]
            assert torch.equal(batch["bright"][row, 0], (image[0] > 0).to(torch.uint8))
            expected = torch.nn.functional.avg_pool2d(image, 8).half().float()
            assert torch.equal(batch["latent"][row], expected)
    assert sum(encoder.seen) == 0


def test_a_companion_is_made_once_goes_on_after_a_stop_and_anew_when_it_is_another(tmp_path: Path) -> None:
    stopped = Brightness(fails_after=8)
    with pytest.raises(KeyboardInterrupt):
        opened(tmp_path, MeanEncoder(), companions=(stopped,))
    first = Brightness()
    whole = opened(tmp_path, MeanEncoder(), companions=(first,))
    again, other = Brightness(), Brightness(digest="darker")
    opened(tmp_path, MeanEncoder(), companions=(again,))
    opened(tmp_path, MeanEncoder(), companions=(other,))
    assert set(first.seen) | set(stopped.seen) == set(range(20))
    assert again.seen == []
    assert other.seen[1:] == list(range(20))
    assert [int(whole.source[Place(item, 3)]["bright"][1, 0, 0]) for item in range(20)] == list(range(20))
