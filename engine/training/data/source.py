"""What a source of examples is: what it is opened with, and what the loader asks of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

from engine.training.data.collate import Batch, Example
from engine.training.data.place import Place
from engine.training.data.reports import DataReports, NothingReadable, Problem, UnreadableItem
from engine.training.postcards.chance import Chance

if TYPE_CHECKING:
    from engine.training.data.companion import Companion
    from engine.training.data.latent_encoder import LatentEncoder

__all__ = [
    "PROBLEMS_KEY",
    "BatchSource",
    "BucketedSource",
    "CaptionedSource",
    "MapSource",
    "OpenContext",
    "Progress",
    "Source",
    "StreamSource",
    "first_readable",
    "item_chance",
    "nothing_readable",
]

PROBLEMS_KEY = "problems"
"""Key of an example under which a worker process passes on what it could not read; gone before batches are made."""

_T = TypeVar("_T")


class Progress(Protocol):
    """Told how far a long preparation has come."""

    def __call__(self, title: str, num_done: int, num_total: int) -> None:
        """Show it."""
        ...


def _silent(title: str, num_done: int, num_total: int) -> None:
    """Shows nothing."""


@dataclass(frozen=True, slots=True)
class OpenContext:
    """What sources are opened with.

    folder: relative paths of recipes are below it.
    seed: the run's; crops, flips, caption choices and order depend on it.
    reports: where problems go.
    encoder: the model's frozen first stage, for a cache of latents.
    companions: what the model is shown beside its latents, for a cache of latents.
    progress: shows long preparations.
    allows_download: whether sources may fetch files from the network.
    """

    folder: Path
    seed: int
    reports: DataReports = field(default_factory=DataReports)
    encoder: LatentEncoder | None = None
    companions: tuple[Companion, ...] = ()
    progress: Progress = _silent
    allows_download: bool = True

    def path(self, path: Path) -> Path:
        """A recipe's path as one that can be opened."""
        return path if path.is_absolute() else self.folder / path


class Source(Protocol):
    """An opened source."""

    @property
    def digest(self) -> str:
        """Equal digest, equal examples; cheap, and the same in every process."""
        ...


class MapSource(Source, Protocol):
    """A source whose items have numbers. It is pickled into the loader's processes."""

    def __len__(self) -> int:
        """Number of items; 1 for an endless source, which goes by the place's draw alone."""
        ...

    def __getitem__(self, place: Place) -> Example:
        """The example at a place, a function of the place alone."""
        ...


@runtime_checkable
class BucketedSource(Protocol):
    """A map-style source whose items have different sizes; batches are made within a bucket."""

    @property
    def buckets(self) -> Sequence[Sequence[int]]:
        """Item numbers of each bucket, in order."""
        ...


@runtime_checkable
class CaptionedSource(Protocol):
    """A source that knows several captions of an item."""

    def captions(self, place: Place, num_captions: int) -> tuple[str, ...]:
        """At most `num_captions` different captions of the item at a place."""
        ...


@runtime_checkable
class StreamSource(Protocol):
    """A source that is read in order. Batches are numbered over the whole run, all ranks in step.

    Batch k of `num_lanes` lanes belongs to lane k mod `num_lanes`; one process reads whole lanes.
    """

    @property
    def num_lanes(self) -> int:
        """How many lanes are read independently; the number of worker processes divides it."""
        ...

    def batches(self, first: int, step: int, batch_size: int, rank: int, world: int) -> Iterator[list[Example]]:
        """Batches first, first + step, … of a rank, each a list of examples; endless."""
        ...


@runtime_checkable
class BatchSource(Protocol):
    """A source that makes whole batches in the main process, such as latents held on the device."""

    def batch(self, places: Sequence[Place]) -> Batch:
        """The collated batch of these places."""
        ...


def item_chance(seed: int, purpose: str, place: Place) -> Chance:
    """Random choices of one example of the run, e.g. its crop; those of different purposes are independent."""
    return Chance("data", seed, purpose, place.draw)


def first_readable(numbers: Sequence[int], start: int, read: Callable[[int], _T]) -> tuple[_T, int, list[Problem]]:
    """The first item that can be read, from position `start` on and round the end.

    Returns what `read` gave, the item's number and the problems of those passed over. Raises NothingReadable when all
    of them fail.
    """
    problems: list[Problem] = []
    for step in range(len(numbers)):
        number = numbers[(start + step) % len(numbers)]
        try:
            return read(number), number, problems
        except UnreadableItem as unreadable:
            problems.append(unreadable.problem)
    raise nothing_readable(problems)


def nothing_readable(problems: Sequence[Problem]) -> NothingReadable:
    """The error for items of which none can be used, naming the first problems."""
    shown = "; ".join(f"{problem.path}: {problem.reason}" for problem in problems[:3])
    return NothingReadable(
        f"Nothing can be read; {len(problems)} problem(s): {shown}.",
        problems,
        hint="Check that the recipe names the right files and that they are pictures with captions.",
    )
