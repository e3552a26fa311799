"""Batches of latents: joining, splitting, repeating, and which noise each entry gets.

`batch_index` in a latent says, per entry, which entry of the seed's noise it is given; without it, entry i gets i.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch

from engine.api import BatchSize, Latent, Options, Range, imaging, node, require_room

__all__ = ["batch_latents", "latent_from_batch", "rebatch_latents", "repeat_latent_batch", "set_seed_behavior"]


def _batch_index(samples: Latent) -> list[int]:
    return list(samples.get("batch_index", range(len(samples["samples"]))))


@node("LatentBatch", category="latent/batch", schema_form=True)
def batch_latents(samples1: Latent, samples2: Latent) -> Latent:
    """Both batches one after the other; the second is cut and scaled to the first's size."""
    first = samples1["samples"]
    require_room((len(first) + len(samples2["samples"]), *first.shape[1:]), "samples2")
    second = imaging.match_latent(first, samples2["samples"].to(first), repeat=False)
    return {
        **samples1,
        "samples": torch.cat([first, second]),
        "batch_index": _batch_index(samples1) + _batch_index(samples2),
    }


@node("LatentBatchSeedBehavior", category="latent/advanced", schema_form=True)
def set_seed_behavior(samples: Latent, seed_behavior: Literal["random", "fixed"] = "fixed") -> Latent:
    """ "fixed": every entry gets the noise of the first; "random": entry i gets noise i."""
    if seed_behavior == "random":
        return {key: value for key, value in samples.items() if key != "batch_index"}
    return {**samples, "batch_index": _batch_index(samples)[:1] * len(samples["samples"])}


@node("LatentFromBatch", title="Latent From Batch", category="latent/batch")
def latent_from_batch(
    samples: Latent, batch_index: Annotated[int, Range(0, 63)] = 0, length: Annotated[int, Range(1, 64)] = 1
) -> Latent:
    """`length` entries from number `batch_index` on (counted from 0), as far as there are any; at least the last.

    They keep the noise they had in the batch.
    """
    latent = samples["samples"]
    start = min(batch_index, len(latent) - 1)
    chosen = slice(start, start + length)
    result = {**samples, "samples": latent[chosen].clone(), "batch_index": _batch_index(samples)[chosen]}
    if "noise_mask" in samples:
        mask = samples["noise_mask"]
        numbers = range(len(latent))[chosen]
        result["noise_mask"] = mask if len(mask) == 1 else mask[[number % len(mask) for number in numbers]]
    return result


@node("RepeatLatentBatch", title="Repeat Latent Batch", category="latent/batch")
def repeat_latent_batch(samples: Latent, amount: Annotated[int, Range(1, 64)] = 1) -> Latent:
    """The whole batch `amount` times over; each repetition gets noise of its own where the entries are numbered."""
    latent = samples["samples"]
    require_room((amount * len(latent), *latent.shape[1:]), "amount")
    result = {**samples, "samples": latent.repeat(amount, *([1] * (latent.ndim - 1)))}
    if "noise_mask" in samples and len(samples["noise_mask"]) > 1:
        mask = samples["noise_mask"]
        require_room((amount * len(latent), *mask.shape[1:]), "amount")
        mask = imaging.repeat_to_batch(mask, len(latent))
        result["noise_mask"] = mask.repeat(amount, *([1] * (mask.ndim - 1)))
    if "batch_index" in samples:
        numbers = list(samples["batch_index"])
        step = max(numbers) - min(numbers) + 1
        result["batch_index"] = [number + step * round_ for round_ in range(amount) for number in numbers]
    return result


@node("RebatchLatents", title="Rebatch Latents", category="latent/batch", input_is_list=True, list_outputs=(True,),
      schema_form=True)  # fmt: skip
def rebatch_latents(latents: list[Latent], batch_size: Annotated[list[BatchSize], Options(default=1)]) -> list[Latent]:
    """A list of batches with up to `batch_size` latents each out of any list of batches.

    Latents of different sizes never share a batch. Entries without a number are numbered through over all inputs.
    """
    size = batch_size[0]
    result: list[dict[str, Any]] = []
    group: list[dict[str, Any]] = []
    for entry in _entries(latents):
        if group and (len(group) == size or entry["samples"].shape != group[0]["samples"].shape):
            result.append(_joined(group))
            group = []
        group.append(entry)
    return [*result, _joined(group)] if group else result


def _entries(latents: list[Latent]) -> list[dict[str, Any]]:
    """One record per latent of the batches: samples [1 …], noise_mask [1 1 h w] or None, and number."""
    entries: list[dict[str, Any]] = []
    for batch in latents:
        count, offset = len(batch["samples"]), len(entries)
        numbers = batch.get("batch_index", range(offset, offset + count))
        mask = batch.get("noise_mask")
        masks = [None] * count if mask is None else imaging.repeat_to_batch(mask, count).split(1)
        for single, number, single_mask in zip(batch["samples"].split(1), numbers, masks, strict=True):
            entries.append({"samples": single, "number": number, "noise_mask": single_mask})
    return entries


def _joined(entries: list[dict[str, Any]]) -> dict[str, Any]:
    masks = [entry["noise_mask"] for entry in entries]
    height, width = (side * imaging.PIXELS_PER_CELL for side in entries[0]["samples"].shape[-2:])
    has_mask = any(mask is not None for mask in masks)
    if has_mask:
        require_room((len(masks), 1, height, width), "batch_size")
    joined: dict[str, Any] = {
        "samples": torch.cat([entry["samples"] for entry in entries]),
        "batch_index": [entry["number"] for entry in entries],
    }
    if has_mask:
        full = torch.ones(1, 1, height, width)
        resized = [full if mask is None else imaging.resize_masks(mask, width, height)[:, None] for mask in masks]
        joined["noise_mask"] = torch.cat(resized)
    return joined
