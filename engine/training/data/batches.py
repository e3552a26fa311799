"""Batches of a source: the same whatever number of processes prepares them, from any step on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from engine.core.errors import AtelierError
from engine.training.data.buckets import BucketSampler
from engine.training.data.collate import Batch, collate
from engine.training.data.place import StepSampler
from engine.training.data.reports import DataReports, Problem
from engine.training.data.source import PROBLEMS_KEY, BatchSource, BucketedSource, MapSource, StreamSource
from engine.training.data.worker_process import GuardedItems, raise_first, start_quietly, usable_workers

__all__ = ["Batches"]


class Batches:
    """Endless batches of one rank. Every iteration begins at `start_step`; a batch holds `first_draw` besides its keys.

    Problems the sources found go to `reports`, in the main process.
    """

    def __init__(
        self,
        source: MapSource | StreamSource | BatchSource,
        batch_size: int,
        *,
        seed: int,
        reports: DataReports,
        num_workers: int = 0,
        start_step: int = 0,
        rank: int = 0,
        world: int = 1,
        pin_memory: bool = False,
    ) -> None:
        self._source = source
        self._batch_size = batch_size
        self._seed = seed
        self._reports = reports
        lanes = source.num_lanes if isinstance(source, StreamSource) else None
        self._num_workers = usable_workers(num_workers, lanes)
        self._start_step = start_step
        self._rank = rank
        self._world = world
        self._pin_memory = pin_memory

    def __iter__(self) -> Iterator[Batch]:
        draw = (self._start_step * self._world + self._rank) * self._batch_size
        for answer in self._collated():
            raise_first([answer])
            batch, problems = answer
            self._reports.extend(problems)
            yield {**batch, "first_draw": draw}
            draw += self._world * self._batch_size

    def _collated(self) -> Iterator[Any]:
        """Batches with the problems found while making them, or the error that ends them."""
        if isinstance(self._source, BatchSource):
            return self._gathered(self._source)
        if isinstance(self._source, StreamSource):
            stream = _Stream(self._source, self._start_step, self._batch_size, self._rank, self._world)
            return self._loaded(stream, batch_size=None, collate_fn=_unchanged)
        return self._loaded(GuardedItems(self._source), batch_sampler=self._sampler(self._source), collate_fn=_collated)

    def _gathered(self, source: BatchSource) -> Iterator[Any]:
        for places in self._sampler(source):
            yield source.batch(places), []

    def _sampler(self, source: Any) -> StepSampler | BucketSampler:
        where = (self._batch_size, self._seed, self._start_step, self._rank, self._world)
        if isinstance(source, BucketedSource) and len(source.buckets) > 1:
            return BucketSampler(source.buckets, *where)
        return StepSampler(len(source), *where)

    def _loaded(self, dataset: Any, **options: Any) -> Iterator[Any]:
        return iter(
            DataLoader(
                dataset,
                num_workers=self._num_workers,
                pin_memory=self._pin_memory,
                worker_init_fn=start_quietly,
                **options,
            )
        )


class _Stream(IterableDataset[Any]):
    """A stream as torch reads it: process w of n makes the batches w, w + n, …, which the loader takes in turns."""

    def __init__(self, source: StreamSource, first: int, batch_size: int, rank: int, world: int) -> None:
        self._source = source
        self._first = first
        self._where = (batch_size, rank, world)

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        number, count = (0, 1) if info is None else (info.id, info.num_workers)
        try:
            for examples in self._source.batches(self._first + number, count, *self._where):
                yield _collated(examples)
        except AtelierError as error:
            yield error


def _collated(examples: Sequence[Any]) -> tuple[Batch, list[Problem]] | AtelierError:
    try:
        raise_first(examples)
        problems = [problem for example in examples for problem in example.get(PROBLEMS_KEY, ())]
        return collate([{k: v for k, v in example.items() if k != PROBLEMS_KEY} for example in examples]), problems
    except AtelierError as error:
        return error


def _unchanged(item: Any) -> Any:
    return item
