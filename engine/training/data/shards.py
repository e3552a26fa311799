"""WebDataset tar shards as a stream: order by seed and epoch, continued at any step, the same for any worker count.

The run's batches go round `num_lanes` lanes. A lane of a rank reads whole shards of its own, one after another (or,
with fewer shards than lanes, every so-manieth sample of all), and shuffles within windows of `window` samples. So what
a batch holds follows from its number alone, and no two processes read the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from engine.core.digest import digest_value
from engine.training.config.resolve import to_plain
from engine.training.data.collate import Example
from engine.training.data.pictures import PICTURE_SUFFIXES, Framing, frame_picture, read_picture
from engine.training.data.place import Place, shuffled
from engine.training.data.reports import DataError, NothingReadable, Problem, UnreadableItem
from engine.training.data.source import PROBLEMS_KEY, OpenContext, first_readable, item_chance, nothing_readable
from engine.training.data.tar_samples import RawSample, expand_shards, shard_samples

__all__ = ["ShardStream", "ShardsRecipe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardsRecipe:
    """Tar shards with a picture, and mostly a caption, per sample.

    urls: paths, folders, patterns ("set-{0000..0099}.tar", "*.tar") or addresses.
    size: side of the square frame in pixels.
    caption: extension of the member with the caption ("txt"), or "json.FIELD" for a field of a JSON member; None for
        no text. missing_caption: leave such samples out, or train them with the empty text.
    label: extension of the member with the class number, or None.
    num_lanes: lanes read independently; the number of worker processes is one that divides it.
    window: samples shuffled together, all held in memory undecoded by each lane.
    """

    kind: Literal["shards"] = "shards"
    urls: tuple[str, ...]
    size: int
    crop: Literal["center", "random"] = "center"
    flips: bool = False
    caption: str | None = "txt"
    missing_caption: Literal["skip", "empty"] = "skip"
    label: str | None = None
    num_lanes: int = 8
    window: int = 256

    def __post_init__(self) -> None:
        if min(self.size, self.num_lanes, self.window) < 1:
            raise ValueError("size, num_lanes and window must be at least 1")

    def open(self, context: OpenContext) -> ShardStream:
        """Find the shards. Raises DataError when there is none, or the webdataset package is not installed."""
        shards = expand_shards(self.urls, context.folder)
        files = []
        for shard in shards:
            if "://" in shard:
                files.append([shard])
                continue
            if not Path(shard).is_file():
                raise DataError(f"There is no shard {shard}.", code="data_missing", hint="Set `urls` to tar files.")
            status = Path(shard).stat()
            files.append([Path(shard).name, status.st_size, status.st_mtime_ns])
        recipe = {key: value for key, value in to_plain(self).items() if key not in ("urls", "num_lanes")}
        return ShardStream(self, shards, context.seed, digest_value([recipe, files]))


class ShardStream:
    """The opened shards."""

    def __init__(self, recipe: ShardsRecipe, shards: tuple[str, ...], seed: int, digest: str) -> None:
        self.digest = digest
        self._recipe = recipe
        self._shards = shards
        self._seed = seed

    @property
    def num_lanes(self) -> int:
        """How many lanes are read independently."""
        return self._recipe.num_lanes

    def batches(self, first: int, step: int, batch_size: int, rank: int, world: int) -> Iterator[list[Example]]:
        """Batches first, first + step, … of a rank; endless. Raises DataError when nothing is readable."""
        lanes: dict[int, _Lane] = {}
        counts: dict[int, int] = {}
        number = first
        while True:
            lane_number, turn = number % self.num_lanes, number // self.num_lanes
            lane = lanes.get(lane_number)
            if lane is None:
                part, num_parts = lane_number * world + rank, self.num_lanes * world
                lane = lanes[lane_number] = _Lane(self._recipe, self._shards, self._seed, part, num_parts, counts)
            draw = (number * world + rank) * batch_size
            yield [lane.example(turn * batch_size + item, Place(0, draw + item)) for item in range(batch_size)]
            number += step


class _Lane:
    """Part `part` of `num_parts` of the endless stream of samples. Positions must be asked for in ascending order.

    counts: samples of each shard that was read to its end, shared by the lanes of a process.
    """

    def __init__(
        self,
        recipe: ShardsRecipe,
        shards: tuple[str, ...],
        seed: int,
        part: int,
        num_parts: int,
        counts: dict[int, int],
    ) -> None:
        self._recipe = recipe
        self._shards = shards
        self._seed = seed
        self._part = part
        self._num_parts = num_parts
        self._counts = counts
        self._framing = Framing(recipe.size, recipe.size, recipe.crop, recipe.flips)
        self._problems: list[Problem] = []
        self._raw: Iterator[RawSample] | None = None
        self._window: list[RawSample] = []
        self._window_number = -1
        self._epoch = 0

    def example(self, position: int, place: Place) -> Example:
        """The example at a position; one that cannot be used is replaced by the next of its window, or of the next."""
        number, offset = divmod(position, self._recipe.window)
        if number > self._window_number:
            self._load(number)
        picture, values = self._readable(offset)
        example = frame_picture(picture, self._framing, item_chance(self._seed, "shards", place))
        problems = list(self._problems)
        self._problems.clear()
        return {**example, **values, PROBLEMS_KEY: problems}

    def _readable(self, offset: int) -> tuple[Any, dict[str, Any]]:
        """What the window holds from `offset` on; a window of which nothing is readable gives way to the next."""
        last_epoch = self._epoch + 2
        while True:
            try:
                found, _, problems = first_readable(range(len(self._window)), offset, self._decoded)
                self._problems += problems
                return found
            except NothingReadable as nothing:
                self._problems += nothing.problems
                if self._epoch >= last_epoch:
                    raise nothing_readable(self._problems) from nothing
                self._load(self._window_number + 1)

    def _load(self, number: int) -> None:
        if self._raw is None:
            self._raw = self._samples(number * self._recipe.window)
        samples = [next(self._raw) for _ in range(self._recipe.window)]
        positions = np.arange(len(samples), dtype=np.int64)
        order = shuffled(positions, len(samples), self._seed + self._part, number)
        self._window = [samples[place] for place in order.tolist()]
        self._window_number = number

    def _samples(self, start: int) -> Iterator[RawSample]:
        """The part's samples from number `start` on, over all epochs; what is skipped is not read."""
        to_skip = start
        seen = 0  # samples of all shards so far, where parts share shards
        while True:
            num_found = 0
            for shard in self._order(self._epoch):
                known = self._counts.get(shard)
                taken = None if known is None else self._num_taken(seen, known)
                if known is not None and taken is not None and taken <= to_skip:
                    to_skip -= taken
                    seen += known
                    num_found += known
                    continue
                count = 0
                for sample in self._read(shard, seen, to_skip):
                    count += 1
                    if sample is not None:
                        yield sample
                to_skip = max(0, to_skip - self._num_taken(seen, count))
                self._counts[shard] = count
                seen += count
                num_found += count
            if not num_found:
                raise nothing_readable(self._problems)
            self._epoch += 1

    def _order(self, epoch: int) -> list[int]:
        """Numbers of the shards this part reads in an epoch."""
        positions = np.arange(len(self._shards), dtype=np.int64)
        order = shuffled(positions, len(self._shards), self._seed, epoch).tolist()
        return order if self._shares_shards else order[self._part :: self._num_parts]

    @property
    def _shares_shards(self) -> bool:
        return len(self._shards) < self._num_parts

    def _num_taken(self, seen: int, count: int) -> int:
        """How many of the next `count` samples are this part's."""
        if not self._shares_shards:
            return count
        first = (self._part - seen) % self._num_parts
        return max(0, -(-(count - first) // self._num_parts))

    def _read(self, shard: int, seen: int, to_skip: int) -> Iterator[RawSample | None]:
        """The samples of a shard; None for other parts' and the first `to_skip` of this part's."""
        stride = self._num_parts if self._shares_shards else 1
        first = (self._part - seen) % stride + to_skip * stride
        return shard_samples(
            self._shards[shard], lambda n: n >= first and (n - first) % stride == 0, self._problems.append
        )

    def _decoded(self, offset: int) -> tuple[Any, dict[str, Any]]:
        sample = self._window[offset]
        content = next((sample.members[key] for key in sample.members if f".{key}" in PICTURE_SUFFIXES), None)
        if content is None:
            raise UnreadableItem(Problem("corrupt_picture", sample.name, "holds no picture"))
        values: dict[str, Any] = {}
        if self._recipe.caption is not None:
            values["text"] = self._text(sample, self._recipe.caption)
        if self._recipe.label is not None:
            try:
                values["class"] = int(sample.members[self._recipe.label])
            except (KeyError, ValueError) as error:
                raise UnreadableItem(Problem("missing_class", sample.name, "holds no class number")) from error
        return read_picture(content, sample.name), values

    def _text(self, sample: RawSample, caption: str) -> str:
        extension, _, name = caption.partition(".")
        try:
            raw = sample.members[extension].decode("utf-8-sig")
            text = json.loads(raw)[name] if name else raw
            if isinstance(text, str) and text.strip():
                return text.strip()
            reason = "the caption is empty"
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            reason = f"no caption can be read: {type(error).__name__} {error}"
        if self._recipe.missing_caption == "empty":
            return ""
        raise UnreadableItem(Problem("missing_caption", sample.name, reason))
