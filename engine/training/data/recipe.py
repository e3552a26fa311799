"""The data of a run: a source, how batches are made of it, and, if wanted, latents computed once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import torch

from engine.training.data.batches import Batches
from engine.training.data.image_folder import ImageFolderRecipe
from engine.training.data.latent_cache import LatentCacheRecipe
from engine.training.data.postcard_captions import PostcardCaptionsRecipe
from engine.training.data.postcards_source import PostcardsRecipe
from engine.training.data.reports import DataError, DataReports
from engine.training.data.shards import ShardsRecipe
from engine.training.data.source import BatchSource, MapSource, OpenContext, Source, StreamSource
from engine.training.data.synthetic import SyntheticRecipe
from engine.training.data.torchvision_sets import Cifar10Recipe, MnistRecipe

__all__ = ["Data", "DataRecipe", "SourceRecipe"]

SourceRecipe: TypeAlias = (
    ImageFolderRecipe
    | ShardsRecipe
    | MnistRecipe
    | Cifar10Recipe
    | SyntheticRecipe
    | PostcardsRecipe
    | PostcardCaptionsRecipe
)
"""Every kind of source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRecipe:
    """Where examples come from and how many make a batch.

    batch_size: examples of a micro-batch on one device.
    num_workers: processes that prepare examples, at most one a core; 0 prepares them in the main process. Changes no
        result.
    latent_cache: train on stored latents of the source instead of its pictures.
    """

    source: SourceRecipe
    batch_size: int
    num_workers: int = 0
    latent_cache: LatentCacheRecipe | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.num_workers < 0:
            raise ValueError("batch_size must be at least 1 and num_workers at least 0")

    def open(self, context: OpenContext, device: torch.device | None = None) -> Data:
        """Open the source, and build its cache of latents where that is wanted and missing.

        Args:
            context: `encoder` must be there for a cache of latents.
            device: where a cache with hold=device is held; the CPU without one.

        Raises DataError when the data cannot be used.
        """
        if self.latent_cache is None:
            return Data(self, self.source.open(context), context)
        # Cached crops and captions do not follow the run's seed: runs share the cache.
        source = self.source.open(replace(context, seed=0))
        if isinstance(source, StreamSource):
            raise DataError("Shards are a stream; latents of them cannot be cached.", hint="Leave out latent_cache.")
        stored = self.latent_cache.open(source, context, num_workers=self.num_workers)
        if self.latent_cache.hold == "device":
            return Data(self, stored.held_on(device or torch.device("cpu")), context)
        return Data(self, stored, context)


@dataclass(frozen=True, slots=True)
class Data:
    """An opened source with its recipe."""

    recipe: DataRecipe
    source: MapSource | StreamSource | BatchSource
    context: OpenContext

    @property
    def digest(self) -> str:
        """Equal digest, equal examples; for the run folder."""
        source: Source = self.source  # type: ignore[assignment]
        return source.digest

    @property
    def reports(self) -> DataReports:
        """What could not be read so far."""
        return self.context.reports

    def batches(self, start_step: int = 0, *, rank: int = 0, world: int = 1, pin_memory: bool = False) -> Batches:
        """Endless batches of one rank from micro-batch `start_step` on; each iteration begins there.

        pin_memory: put batches into page-locked memory, for faster copies to a GPU.
        """
        return Batches(
            self.source,
            self.recipe.batch_size,
            seed=self.context.seed,
            reports=self.context.reports,
            num_workers=self.recipe.num_workers,
            start_step=start_step,
            rank=rank,
            world=world,
            pin_memory=pin_memory,
        )
