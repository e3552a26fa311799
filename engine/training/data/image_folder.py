"""Folders of pictures with captions beside them, classes by folder, and aspect-ratio buckets."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from engine.core.digest import digest_value
from engine.training.config.resolve import to_plain
from engine.training.data.buckets import BucketRecipe, bucket_sizes, nearest_bucket
from engine.training.data.captions import CAPTION_LISTS, read_caption_file, read_caption_list
from engine.training.data.collate import Example
from engine.training.data.pictures import PICTURE_SUFFIXES, Framing, frame_picture, picture_size, read_picture
from engine.training.data.place import Place
from engine.training.data.reports import DataError, DataReports, NothingReadable, Problem, UnreadableItem
from engine.training.data.source import PROBLEMS_KEY, OpenContext, first_readable, item_chance, nothing_readable

__all__ = ["ImageFolder", "ImageFolderRecipe", "PictureFile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFolderRecipe:
    """Pictures of a folder and the folders below it.

    size: side of the square frame, or the side whose square is the area of all buckets, in pixels.
    captions: "text_files" (`a.txt` beside `a.png`, one caption a line), "list" (`captions.jsonl` or `metadata.jsonl`
        in the folder: {"file_name": …, "text": …}), "auto" (a text file where there is one, else the list), "none".
    missing_caption: leave such pictures out ("skip"), or train them with the empty text ("empty").
    class_folders: the folders directly below `path`, sorted, are the classes; a picture without caption is called by
        its folder's name.
    """

    kind: Literal["image_folder"] = "image_folder"
    path: Path
    size: int
    crop: Literal["center", "random"] = "center"
    flips: bool = False
    captions: Literal["auto", "text_files", "list", "none"] = "auto"
    missing_caption: Literal["skip", "empty"] = "skip"
    class_folders: bool = False
    buckets: BucketRecipe | None = None

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError("size must be at least 1 pixel")

    def open(self, context: OpenContext) -> ImageFolder:
        """List the folder. Raises DataError when it has no picture that can be used."""
        folder = context.path(self.path)
        if not folder.is_dir():
            raise DataError(f"There is no folder {folder}.", code="data_missing", hint="Set `path` to your pictures.")
        found = list(_files_below(folder))
        files = _pictures(self, folder, found, context.reports)
        if self.buckets is None:
            framings, members = [Framing(self.size, self.size, self.crop, self.flips)], [range(len(files))]
        else:
            files, framings, members = _into_buckets(self, self.buckets, folder, files, context.reports)
        if not files:
            problems = context.reports.problems
            if problems:
                raise nothing_readable(problems)
            raise NothingReadable(
                f"{folder} holds no picture.",
                hint=f"Put pictures there ({', '.join(sorted(PICTURE_SUFFIXES))}).",
            )
        recipe = {key: value for key, value in to_plain(self).items() if key != "path"}
        return ImageFolder(self, folder, files, framings, members, context.seed, digest_value([recipe, found]))


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A picture of the folder: its name, the captions of the list (None: none there), its class."""

    name: str
    texts: tuple[str, ...] | None
    label: int | None


class ImageFolder:
    """The opened folder. Pictures that cannot be read are replaced by the next one of their bucket."""

    def __init__(
        self,
        recipe: ImageFolderRecipe,
        folder: Path,
        files: Sequence[PictureFile],
        framings: Sequence[Framing],
        members: Sequence[Sequence[int]],
        seed: int,
        digest: str,
    ) -> None:
        self.digest = digest
        self.buckets = members
        self._recipe = recipe
        self._folder = folder
        self._files = files
        self._framings = framings
        self._seed = seed
        # For each item its bucket and where it is there; arrays, as there may be millions.
        self._homes = np.empty((len(files), 2), dtype=np.int64)
        for number, items in enumerate(members):
            self._homes[items, 0] = number
            self._homes[items, 1] = np.arange(len(items))

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, place: Place) -> Example:
        bucket, position = self._homes[place.index].tolist()
        read, number, problems = first_readable(self.buckets[bucket], position, self._read)
        picture, texts = read
        chance = item_chance(self._seed, "image_folder", place)
        example: dict[str, Any] = frame_picture(picture, self._framings[bucket], chance)
        if texts is not None:
            example["text"] = chance.stream("caption").pick(texts)
        if self._recipe.class_folders:
            example["class"] = self._files[number].label
        return {**example, PROBLEMS_KEY: problems}

    def captions(self, place: Place, num_captions: int) -> tuple[str, ...]:
        """The first captions of a picture, or of the one that stands in for it."""
        bucket, position = self._homes[place.index].tolist()
        texts = first_readable(self.buckets[bucket], position, self._read)[0][1]
        return () if texts is None else texts[:num_captions]

    def _read(self, number: int) -> tuple[Any, tuple[str, ...] | None]:
        file = self._files[number]
        return read_picture(self._folder / file.name, file.name), self._texts(file)

    def _texts(self, file: PictureFile) -> tuple[str, ...] | None:
        recipe = self._recipe
        named = (_top(file.name).replace("_", " "),) if recipe.class_folders else None
        if recipe.captions == "none":
            return named
        try:
            if recipe.captions != "list":
                name = str(PurePosixPath(file.name).with_suffix(".txt"))
                if file.texts is None or (self._folder / name).exists():
                    return read_caption_file(self._folder / name, name)
            if file.texts is None:
                raise UnreadableItem(Problem("missing_caption", file.name, "is not in the list of captions"))
            return file.texts
        except UnreadableItem:
            if named is not None:
                return named
            if recipe.missing_caption == "empty":
                return ("",)
            raise


def _files_below(folder: Path) -> Iterator[tuple[str, int, int]]:
    """(name, bytes, time of change) of every file that is not hidden, sorted by name."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            path = Path(parent, name)
            if name.startswith(".") or not path.is_file():
                continue
            status = path.stat()
            found.append((path.relative_to(folder).as_posix(), status.st_size, status.st_mtime_ns))
    return iter(sorted(found))


def _pictures(
    recipe: ImageFolderRecipe, folder: Path, found: Sequence[tuple[str, int, int]], reports: DataReports
) -> list[PictureFile]:
    """The picture files with a class and, where that can be known without reading them, a caption."""
    names = {name for name, _, _ in found}
    listed: Mapping[str, tuple[str, ...]] = {}
    if recipe.captions in ("auto", "list"):
        lists = [name for name in CAPTION_LISTS if name in names]
        if lists:
            listed = read_caption_list(folder / lists[0], lists[0], reports)
        elif recipe.captions == "list":
            raise DataError(f"{folder} has no {' or '.join(CAPTION_LISTS)}.", code="data_missing", hint="Add one.")
    pictures = [name for name, _, _ in found if PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES]
    classes = {name: number for number, name in enumerate(sorted({_top(name) for name in pictures if "/" in name}))}
    kept = []
    must_have_caption = recipe.captions != "none" and recipe.missing_caption == "skip" and not recipe.class_folders
    for name in pictures:
        label = classes.get(_top(name)) if "/" in name else None
        if recipe.class_folders and label is None:
            reports.add(Problem("missing_class", name, "lies in no class folder"))
            continue
        has_file = recipe.captions != "list" and str(PurePosixPath(name).with_suffix(".txt")) in names
        if must_have_caption and not has_file and name not in listed:
            reports.add(Problem("missing_caption", name, "has no caption file and is in no list of captions"))
            continue
        kept.append(PictureFile(name, listed.get(name), label if recipe.class_folders else None))
    return kept


def _into_buckets(
    recipe: ImageFolderRecipe, buckets: BucketRecipe, folder: Path, files: Sequence[PictureFile], reports: DataReports
) -> tuple[list[PictureFile], list[Framing], list[list[int]]]:
    """Files whose header can be read, the frames in use, and the numbers of the files of each frame."""
    sizes = bucket_sizes(recipe.size, buckets)
    kept: list[PictureFile] = []
    members: dict[int, list[int]] = {}
    for file in files:
        try:
            height, width = picture_size(folder / file.name, file.name)
        except UnreadableItem as unreadable:
            reports.add(unreadable.problem)
            continue
        members.setdefault(nearest_bucket(height, width, sizes), []).append(len(kept))
        kept.append(file)
    used = sorted(members)
    framings = [Framing(*sizes[number], recipe.crop, recipe.flips) for number in used]
    return kept, framings, [members[number] for number in used]


def _top(name: str) -> str:
    return name.split("/", 1)[0]
