"""Latents computed once: a cache of a map-style source, built on first use, and the source that reads it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from engine.core.digest import digest_value
from engine.training.data.collate import Batch, Example, collate
from engine.training.data.companion import Companion
from engine.training.data.latent_encoder import LatentEncoder
from engine.training.data.latent_store import (
    StoreHeader,
    StoreReader,
    StoreWriter,
    folder_lock,
    is_complete,
    read_header,
    remove_store,
)
from engine.training.data.place import Place
from engine.training.data.reports import DataError
from engine.training.data.source import PROBLEMS_KEY, CaptionedSource, MapSource, OpenContext, item_chance
from engine.training.data.worker_process import GuardedItems, raise_first, start_quietly, usable_workers

__all__ = ["HeldLatents", "LatentCacheRecipe", "StoredLatents"]

_FLUSH_S = 30.0
_DIGEST_LETTERS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentCacheRecipe:
    """Train on stored latents of the source's items 0 … num_items - 1, encoded by the model's first stage.

    path: folder of the cache; built when it is not there, continued when the building was interrupted.
    num_items: None for every item of a finite source; endless sources need a number. More than a finite source has
        go round it again, with other crops.
    num_captions: captions kept of each item, of which a draw chooses one.
    encode_batch_size: items encoded at once.
    when_stale: what to do with a cache made from something else: tell the user ("refuse"), or make it anew.
    hold: read latents from disk, or keep all of them on the training device.
    """

    path: Path
    num_items: int | None = None
    num_captions: int = 4
    encode_batch_size: int = 32
    when_stale: Literal["refuse", "rebuild"] = "refuse"
    hold: Literal["disk", "device"] = "disk"

    def __post_init__(self) -> None:
        if self.num_items is not None and self.num_items < 1:
            raise ValueError("num_items must be at least 1")
        if self.num_captions < 1 or self.encode_batch_size < 1:
            raise ValueError("num_captions and encode_batch_size must be at least 1")

    def open(self, source: MapSource, context: OpenContext, *, num_workers: int = 0) -> StoredLatents:
        """The latents of a source and what the context's companions make of its pictures, computed first where missing.

        The source must have been opened with seed 0, so that runs with other seeds find the same cache.
        Raises DataError for a stale cache that may not be replaced, or when the recipe does not go with the source.
        """
        encoder = context.encoder
        if encoder is None:
            raise DataError(
                "A cache of latents needs a first stage that encodes pictures.",
                hint="Give the model an autoencoder as first stage, or leave out latent_cache.",
            )
        num_items = len(source) if self.num_items is None else self.num_items
        if self.num_items is None and len(source) == 1:
            raise DataError("latent_cache.num_items is missing.", hint="Say how many items of the source to encode.")
        folder = context.path(self.path)
        with folder_lock(folder):
            digest = digest_value([source.digest, encoder.digest, encoder.keeps_variance, num_items, self.num_captions])
            found = read_header(folder)
            if found is not None and found.digest != digest:
                self._replace(folder)
                found = None
            builder = _Builder(self, source, encoder, context, num_items)
            if found is None or not is_complete(folder):
                builder.build_latents(folder, digest, num_workers)
            companions = {
                companion.key: builder.build_companion(companion, folder, digest, num_workers)
                for companion in context.companions
            }
        return StoredLatents(folder, context.seed, companions)

    def _replace(self, folder: Path) -> None:
        if self.when_stale == "refuse":
            raise DataError(
                f"The latents in {folder} were made from other data or by another autoencoder.",
                code="stale_latent_cache",
                hint="Delete the folder, name another one, or set latent_cache.when_stale=rebuild.",
            )
        remove_store(folder)


_Keep = Callable[[Tensor, list[dict[str, Any]], list[Place]], None]
"""Takes pictures of a batch, what is stored beside each, and their places."""


@dataclass(frozen=True, slots=True)
class _Builder:
    """The building of one cache: items rendered by worker processes, encoded here in batches."""

    recipe: LatentCacheRecipe
    source: MapSource
    encoder: LatentEncoder
    context: OpenContext
    num_items: int

    def build_latents(self, folder: Path, digest: str, num_workers: int) -> None:
        """Encode what is not on disk yet; told to the context's progress."""
        channels, height, width = self.encoder.encode(self._first_image()).shape[1:]
        header = StoreHeader(digest, self.num_items, (channels, height, width), self.encoder.keeps_variance)
        writer = StoreWriter(folder, header)

        def keep(images: Tensor, records: list[dict[str, Any]], places: list[Place]) -> None:
            latents = self.encoder.encode(images).to("cpu", torch.float16)
            if not torch.isfinite(latents).all():
                raise DataError(
                    f"The autoencoder gives latents that are not finite (items from {writer.num_done} on).",
                    hint="Check its weights and its latent scale.",
                )
            writer.append(latents.numpy(), records)

        self._fill(writer, keep, "encoding pictures", num_workers)

    def build_companion(self, companion: Companion, folder: Path, digest: str, num_workers: int) -> Path:
        """Make what is not on disk yet; returns the companion's folder. The latents of `digest` lie in `folder`."""
        digest = digest_value([digest, companion.digest])
        inner = folder / f"{companion.key}-{digest[:_DIGEST_LETTERS]}"
        if is_complete(inner):
            return inner
        inner.mkdir(exist_ok=True)
        first = companion.packed(self._first_image(), [Place(0, 0)])
        channels, height, width = first.shape[1:]
        header = StoreHeader(digest, self.num_items, (channels, height, width), False, first.dtype.str)
        writer = StoreWriter(inner, header)

        def keep(images: Tensor, records: list[dict[str, Any]], places: list[Place]) -> None:
            writer.append(companion.packed(images, places), [{}] * len(places))

        self._fill(writer, keep, companion.title, num_workers)
        return inner

    def _fill(self, writer: StoreWriter, keep: _Keep, title: str, num_workers: int) -> None:
        try:
            flushed_s = time.monotonic()
            for images, records, places in self._rendered(writer.num_done, num_workers):
                keep(images, records, places)
                if time.monotonic() - flushed_s >= _FLUSH_S:
                    writer.flush()
                    flushed_s = time.monotonic()
                self.context.progress(title, writer.num_done, self.num_items)
            writer.finish()
        finally:
            writer.close()

    def _first_image(self) -> Tensor:
        """The first picture as a batch, from which sizes are learnt."""
        image = self.source[Place(0, 0)].get("image")
        if not isinstance(image, Tensor):
            raise DataError("Only sources of pictures can be encoded.", hint="Leave out latent_cache.")
        return image[None]

    def _rendered(self, start: int, num_workers: int) -> Iterator[tuple[Tensor, list[dict[str, Any]], list[Place]]]:
        size = self.recipe.encode_batch_size
        length = len(self.source)
        places = [
            [Place(item % length, item) for item in range(first, min(first + size, self.num_items))]
            for first in range(start, self.num_items, size)
        ]
        items = GuardedItems(_RecordedItems(self.source, self.recipe.num_captions))
        loader = DataLoader(
            items,  # type: ignore[arg-type]
            batch_sampler=places,  # type: ignore[arg-type]
            num_workers=usable_workers(num_workers),
            collate_fn=list,
            worker_init_fn=start_quietly,
        )
        for batch, batch_places in zip(loader, places, strict=True):
            raise_first(batch)
            shapes = {tuple(image.shape) for image, _, _ in batch}
            if len(shapes) > 1:
                raise DataError(
                    "A cache of latents holds pictures of one size only.", hint="Leave out buckets or latent_cache."
                )
            for _, _, problems in batch:
                self.context.reports.extend(problems)
            yield torch.stack([image for image, _, _ in batch]), [record for _, record, _ in batch], batch_places


@dataclass(frozen=True, slots=True)
class _RecordedItems:
    """Items of a source as (image, what is stored beside its latent, problems)."""

    source: MapSource
    num_captions: int

    def __getitem__(self, place: Place) -> tuple[Tensor, dict[str, Any], list[Any]]:
        example = dict(self.source[place])
        problems = example.pop(PROBLEMS_KEY, [])
        image = example.pop("image")
        text = example.pop("text", None)
        texts = [] if text is None else [text]
        if text is not None and isinstance(self.source, CaptionedSource):
            texts = list(self.source.captions(place, self.num_captions))
        values = {key: value.tolist() if isinstance(value, Tensor) else value for key, value in example.items()}
        return image, {"texts": texts, "values": values}, problems


class StoredLatents:
    """A complete cache as a source: `latent` float32 [c h w] drawn from each item's distribution, and its captions.

    companions: folders of what lies beside the latents, by the key examples hold it under.
    """

    def __init__(self, folder: Path, seed: int, companions: Mapping[str, Path] = MappingProxyType({})) -> None:
        self._store = StoreReader(folder)
        self._companions = {key: StoreReader(inner) for key, inner in companions.items()}
        self._seed = seed
        self.digest = self._store.header.digest

    def __len__(self) -> int:
        return len(self._store)

    def __getitem__(self, place: Place) -> Example:
        moments = torch.from_numpy(np.array(self._store.latents[place.index]))
        return {"latent": self.sampled(moments[None], [place])[0], **self.described(place)}

    def held_on(self, device: torch.device) -> HeldLatents:
        """The same source with all latents on a device."""
        return HeldLatents(self, torch.from_numpy(np.array(self._store.latents)).to(device))

    def described(self, place: Place) -> dict[str, Any]:
        """Everything of an example but its latent."""
        record = self._store.record(place.index)
        values = {key: torch.tensor(v) if isinstance(v, list) else v for key, v in record["values"].items()}
        if record["texts"]:
            values["text"] = item_chance(self._seed, "latent caption", place).pick(record["texts"])
        beside = {key: np.array(store.latents[place.index]) for key, store in self._companions.items()}
        return {**values, **{key: torch.from_numpy(array) for key, array in beside.items()}}

    def sampled(self, moments: Tensor, places: Sequence[Place]) -> Tensor:
        """Stored values [b c h w] → latents float32 on the same device; the noise depends on the draws alone."""
        moments = moments.float()
        if not self._store.header.has_variance:
            return moments
        mean, log_variance = moments.chunk(2, dim=1)
        seeds = [item_chance(self._seed, "latent noise", place).bits() >> 1 for place in places]
        noise = [torch.randn(mean.shape[1:], generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return mean + (0.5 * log_variance).exp() * torch.stack(noise).to(mean.device)


class HeldLatents:
    """Latents held on a device, float16; batches are gathered there, in the main process."""

    def __init__(self, stored: StoredLatents, latents: Tensor) -> None:
        self.digest = stored.digest
        self._stored = stored
        self._latents = latents

    def __len__(self) -> int:
        return len(self._stored)

    def batch(self, places: Sequence[Place]) -> Batch:
        """The collated batch of these places; `latent` lies on the device."""
        numbers = torch.tensor([place.index for place in places], device=self._latents.device)
        latent = self._stored.sampled(self._latents[numbers], places)
        return {"latent": latent, **collate([self._stored.described(place) for place in places])}
