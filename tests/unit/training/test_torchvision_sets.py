"""MNIST and CIFAR-10 from files in their published formats."""

from __future__ import annotations

import hashlib
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.training.data.place import Place
from engine.training.data.reports import DataError
from engine.training.data.source import OpenContext
from engine.training.data.torchvision_sets import Cifar10Recipe, LabelledPictures, MnistRecipe

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # numpy and pickle inside torchvision


def write_mnist(folder: Path, num_items: int = 12) -> np.ndarray:
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    pictures = np.random.default_rng(0).integers(0, 256, (num_items, 28, 28), dtype=np.uint8)
    for part in ("train", "t10k"):
        header = struct.pack(">IIII", 0x00000803, num_items, 28, 28)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(header + pictures.tobytes())
        labels = bytes(n % 10 for n in range(num_items))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x00000801, num_items) + labels)
    return pictures


def write_cifar(folder: Path, monkeypatch: pytest.MonkeyPatch, num_items: int = 4) -> np.ndarray:
    """Files of a few pictures, whose digests torchvision is told in place of the published ones."""
    from torchvision.datasets import CIFAR10

    base = folder / "cifar-10-batches-py"
    base.mkdir(parents=True)
    pictures = np.random.default_rng(0).integers(0, 256, (num_items, 3, 32, 32), dtype=np.uint8)

    def write(name: str, content: Any) -> list[str]:
        data = pickle.dumps(content)
        (base / name).write_bytes(data)
        return [name, hashlib.md5(data).hexdigest()]

    batch = {"data": pictures.reshape(num_items, -1), "labels": list(range(num_items))}
    monkeypatch.setattr(CIFAR10, "train_list", [write(f"data_batch_{n}", batch) for n in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [write("test_batch", batch)])
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    meta = write("batches.meta", {"label_names": names})
    monkeypatch.setattr(CIFAR10, "meta", {"filename": meta[0], "key": "label_names", "md5": meta[1]})
    return pictures


def mnist(folder: Path, **fields: Any) -> LabelledPictures:
    return MnistRecipe(path=folder, **fields).open(OpenContext(folder, 0, allows_download=False))


def test_digits_are_pictures_with_a_class_and_a_name(tmp_path: Path) -> None:
    pictures = write_mnist(tmp_path)
    source = mnist(tmp_path)
    assert len(source) == 12
    example = source[Place(7, 0)]
    assert example["image"].shape == (1, 28, 28)
    assert torch.equal(example["image"][0], torch.from_numpy(pictures[7]).float() / 127.5 - 1)
    assert (example["class"], example["text"]) == (7, "seven")
    assert mnist(tmp_path, caption="the digit {}")[Place(10, 0)]["text"] == "the digit zero"


def test_padding_to_32_adds_black_pixels_on_every_side(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    plain, padded = mnist(tmp_path)[Place(0, 0)]["image"], mnist(tmp_path, pad_to=32)[Place(0, 0)]["image"]
    assert padded.shape == (1, 32, 32)
    assert torch.equal(padded[:, 2:30, 2:30], plain)
    assert padded.sum() == plain.sum() - (32 * 32 - 28 * 28)


def test_small_photographs_have_classes_and_may_be_mirrored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = write_cifar(tmp_path, monkeypatch)
    context = OpenContext(tmp_path, 0, allows_download=False)
    source = Cifar10Recipe(path=Path()).open(context)
    assert len(source) == 20
    example = source[Place(5, 3)]
    plain = torch.from_numpy(pictures[1]).float() / 127.5 - 1
    assert torch.equal(example["image"], plain)
    assert (example["class"], example["text"]) == (1, "automobile")
    flipping = Cifar10Recipe(path=Path(), flips=True, split="test").open(context)
    assert len(flipping) == 4
    seen = [torch.equal(flipping[Place(1, draw)]["image"], plain) for draw in range(40)]
    assert 8 < sum(seen) < 32
    assert all(
        is_plain or torch.equal(flipping[Place(1, draw)]["image"], plain.flip(2)) for draw, is_plain in enumerate(seen)
    )


@pytest.mark.parametrize(
    ("recipe", "first"),
    [(MnistRecipe, "MNIST/raw/train-images-idx3-ubyte"), (Cifar10Recipe, "cifar-10-batches-py/data_batch_1")],
)
def test_missing_files_are_an_error_that_names_the_folder_and_the_files(
    tmp_path: Path, recipe: Any, first: str
) -> None:
    for fields in ({"download": False}, {}):
        with pytest.raises(DataError, match=first) as caught:
            recipe(path=Path("sets"), **fields).open(OpenContext(tmp_path, 0, allows_download=False))
        assert caught.value.code == "data_missing"
        assert str(tmp_path / "sets") in caught.value.message
        assert first in caught.value.hint


def test_a_download_that_fails_says_why_and_which_files_are_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(DataError, match="fetching them failed: Error downloading train-images") as caught:
        MnistRecipe(path=Path()).open(OpenContext(tmp_path, 0))
    assert "MNIST/raw/t10k-labels-idx1-ubyte" in caught.value.hint


def test_damaged_files_are_an_error(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    (tmp_path / "MNIST/raw/train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03\0\0")
    with pytest.raises(DataError, match="cannot be read"):
        mnist(tmp_path)


def test_the_digest_changes_with_the_pictures_and_the_recipe(tmp_path: Path) -> None:
    write_mnist(tmp_path / "a")
    write_mnist(tmp_path / "b", num_items=11)
    assert mnist(tmp_path / "a").digest == mnist(tmp_path / "a", download=False).digest
    assert (
        len({mnist(tmp_path / "a").digest, mnist(tmp_path / "b").digest, mnist(tmp_path / "a", pad_to=32).digest}) == 3
    )
