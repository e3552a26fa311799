"""Batches of images: joining, splitting, repeating."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F

from engine.api import BatchSize, Image, NodeError, Options, Range, imaging, node, require_room

__all__ = ["batch_images", "image_from_batch", "rebatch_images", "repeat_image_batch"]


@node("ImageBatch", title="Batch Images", category="image")
def batch_images(image1: Image, image2: Image) -> Image:
    """Both batches one after the other. The second is cut and scaled to the first's size; missing alpha is opaque."""
    imaging.require_batch(image1, "image1")
    imaging.require_batch(image2, "image2")
    channels = max(image1.shape[-1], image2.shape[-1])
    require_room((len(image1) + len(image2), *image1.shape[1:3], channels), "image2")
    first, second = (F.pad(image, (0, channels - image.shape[-1]), value=1.0) for image in (image1, image2))
    if first.shape[1:3] != second.shape[1:3]:
        second = imaging.resize_images(second, first.shape[2], first.shape[1], "bilinear", "center")
    return torch.cat([first, second.to(first)])


@node("RebatchImages", title="Rebatch Images", category="image/batch", input_is_list=True, list_outputs=(True,),
      schema_form=True)  # fmt: skip
def rebatch_images(images: list[Image], batch_size: Annotated[list[BatchSize], Options(default=1)]) -> list[Image]:
    """A list of batches with `batch_size` images each (the last may hold fewer) out of any list of batches."""
    size = batch_size[0]
    singles = [image for batch in images for image in batch.split(1)]
    chunks = [singles[start : start + size] for start in range(0, len(singles), size)]
    for chunk in chunks:
        shapes = sorted({tuple(single.shape[1:]) for single in chunk})
        if len(shapes) > 1:
            raise NodeError(
                f"Images of different sizes cannot share a batch: {', '.join(f'{w}×{h}' for h, w, _ in shapes)}.",
                code="size_mismatch",
                hint="Scale the images to one size first, or use batch size 1.",
                input="images",
            )
    return [torch.cat(chunk) for chunk in chunks]


@node("RepeatImageBatch", title="RepeatImageBatch", category="image/batch")
def repeat_image_batch(image: Image, amount: BatchSize = 1) -> Image:
    """The whole batch `amount` times over."""
    require_room((amount * len(image), *image.shape[1:]), "amount")
    return image.repeat(amount, 1, 1, 1)


@node("ImageFromBatch", title="ImageFromBatch", category="image/batch")
def image_from_batch(
    image: Image, batch_index: Annotated[int, Range(0, 4095)] = 0, length: Annotated[int, Range(1, 4096)] = 1
) -> Image:
    """`length` images from number `batch_index` on (counted from 0), as far as there are any; at least the last."""
    imaging.require_batch(image, "image")
    start = min(batch_index, len(image) - 1)
    return image[start : start + length].clone()
