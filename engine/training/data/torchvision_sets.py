"""MNIST and CIFAR-10, read and, where allowed, fetched by torchvision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F

from engine.core.digest import digest_bytes, digest_value
from engine.training.config.resolve import to_plain
from engine.training.data.collate import Example
from engine.training.data.pictures import to_pixels
from engine.training.data.place import Place
from engine.training.data.reports import DataError
from engine.training.data.source import OpenContext, item_chance

__all__ = ["Cifar10Recipe", "LabelledPictures", "MnistRecipe"]

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_MNIST_FILES = tuple(
    f"MNIST/raw/{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")
)
_CIFAR_FILES = tuple(
    f"cifar-10-batches-py/{name}" for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MnistRecipe:
    """Handwritten digits: `image` [1 28 28], or [1 32 32] with a black border; `class` 0 … 9; `text` "seven".

    path: folder that has, or gets, `MNIST/raw`. caption: the text, with {} for the digit's name.
    """

    kind: Literal["mnist"] = "mnist"
    path: Path
    split: Literal["train", "test"] = "train"
    pad_to: Literal[28, 32] = 28
    caption: str = "{}"
    download: bool = True

    def open(self, context: OpenContext) -> LabelledPictures:
        """Read the set into memory. Raises DataError when its files are neither there nor to be had."""

        def read(root: Path, download: bool) -> Any:
            from torchvision.datasets import MNIST

            return MNIST(str(root), train=self.split == "train", download=download)

        data = _opened("MNIST", self.path, _MNIST_FILES, read, self.download, context)
        border = (self.pad_to - 28) // 2
        return LabelledPictures(
            data.data.numpy(), data.targets, _DIGITS, self.caption, border, False, context.seed, to_plain(self)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cifar10Recipe:
    """Small photographs: `image` [3 32 32], `class` 0 … 9, `text` "airplane".

    path: folder that has, or gets, `cifar-10-batches-py`. caption: the text, with {} for the class's name.
    """

    kind: Literal["cifar10"] = "cifar10"
    path: Path
    split: Literal["train", "test"] = "train"
    flips: bool = False
    caption: str = "{}"
    download: bool = True

    def open(self, context: OpenContext) -> LabelledPictures:
        """Read the set into memory. Raises DataError when its files are neither there nor to be had."""

        def read(root: Path, download: bool) -> Any:
            from torchvision.datasets import CIFAR10

            return CIFAR10(str(root), train=self.split == "train", download=download)

        data = _opened("CIFAR-10", self.path, _CIFAR_FILES, read, self.download, context)
        return LabelledPictures(
            data.data, data.targets, data.classes, self.caption, 0, self.flips, context.seed, to_plain(self)
        )


class LabelledPictures:
    """Pictures in memory, uint8 [n h w] or [n h w 3], each with a class."""

    def __init__(
        self,
        pictures: np.ndarray,
        labels: Sequence[int],
        class_names: Sequence[str],
        caption: str,
        border: int,
        flips: bool,
        seed: int,
        recipe: dict[str, Any],
    ) -> None:
        named = {key: value for key, value in recipe.items() if key not in ("path", "download")}
        self._pictures = pictures
        self._labels = np.asarray(labels, dtype=np.int64)
        self.digest = digest_bytes(digest_value(named).encode(), pictures.tobytes(), self._labels.tobytes())
        self._texts = tuple(caption.replace("{}", name) for name in class_names)
        self._border = border
        self._flips = flips
        self._seed = seed

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, place: Place) -> Example:
        image = to_pixels(self._pictures[place.index])
        if self._border:
            image = F.pad(image, (self._border,) * 4, value=-1.0)
        if self._flips and item_chance(self._seed, "flip", place).happens(0.5):
            image = torch.flip(image, (2,))
        label = int(self._labels[place.index])
        return {"image": image, "class": label, "text": self._texts[label]}


def _opened(
    title: str,
    path: Path,
    files: Sequence[str],
    read: Callable[[Path, bool], Any],
    download: bool,
    context: OpenContext,
) -> Any:
    root = context.path(path)
    missing = [name for name in files if not (root / name).is_file()]
    may_fetch = download and context.allows_download
    listing = ", ".join(files)
    try:
        return read(root, may_fetch and bool(missing))
    except MemoryError:
        raise
    except Exception as error:
        if missing:
            why = f"fetching them failed: {str(error).strip() or type(error).__name__}" if may_fetch else "not fetched"
            raise DataError(
                f"{title} is not in {root}: {len(missing)} file(s) are missing, the first {missing[0]} ({why}).",
                code="data_missing",
                hint=f"Put these files below {root}: {listing}.",
            ) from error
        raise DataError(
            f"The {title} files in {root} cannot be read: {error}",
            code="bad_data",
            hint=f"Delete them so that they are fetched again: {listing}.",
        ) from error
