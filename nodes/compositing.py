"""Putting images over each other, and alpha channels."""

from __future__ import annotations

from typing import Annotated

import torch

from engine.api import MAX_DIMENSION, Choice, Image, Mask, Range, imaging, node

__all__ = ["composite_images_masked", "join_image_with_alpha", "porter_duff_composite", "split_image_with_alpha"]

Position = Annotated[int, Range(0, MAX_DIMENSION, step=1)]


@node("ImageCompositeMasked", title="ImageCompositeMasked", category="image")
def composite_images_masked(
    destination: Image,
    source: Image,
    x: Position = 0,
    y: Position = 0,
    resize_source: bool = False,
    mask: Mask | None = None,
) -> Image:
    """The source over the destination at (x, y), visible where the mask is 1; what sticks out is cut off.

    The mask is scaled to the source; source and mask are repeated over the destination's batch.
    """
    imaging.require_batch(destination, "destination")
    imaging.require_batch(source, "source")
    destination, source = imaging.match_channels(destination, source)
    result = imaging.paste(destination.movedim(-1, 1), source.movedim(-1, 1), x, y, mask, resize_source)
    return result.movedim(1, -1)


@node("PorterDuffImageComposite", title="Porter-Duff Image Composite", category="mask/compositing", schema_form=True)
def porter_duff_composite(
    source: Image,
    source_alpha: Mask,
    destination: Image,
    destination_alpha: Mask,
    mode: Annotated[str, Choice(imaging.PORTER_DUFF_MODES)] = "DST",
) -> tuple[Image, Mask]:
    """Composite two images by their coverage. Masks are 1 where an image is transparent, as Load Image gives them.

    The source is cut and scaled (bicubic) to the destination's size, masks are scaled to it; as many images result
    as the shortest input has.
    """
    imaging.require_batch(source, "source")
    imaging.require_batch(destination, "destination")
    alphas = [imaging.mask_batch(mask) for mask in (source_alpha, destination_alpha)]
    count = min(len(source), len(destination), *map(len, alphas))
    source, destination = source[:count], destination[:count]
    height, width = destination.shape[1:3]
    if source.shape[1:3] != destination.shape[1:3]:
        source = imaging.resize_images(source, width, height, "bicubic", "center")
    destination, source = imaging.match_channels(destination, source.to(destination))
    source_cover, target_cover = (_cover(alpha[:count], destination) for alpha in alphas)
    image, cover = imaging.porter_duff(source, source_cover, destination, target_cover, mode)
    return image, 1 - cover[..., 0]


@node("SplitImageWithAlpha", title="Split Image with Alpha", category="mask/compositing", schema_form=True)
def split_image_with_alpha(image: Image) -> tuple[Image, Mask]:
    """The colours, and 1 - alpha as a mask; an image without alpha is opaque."""
    alpha = image[..., 3] if image.shape[-1] > 3 else torch.ones_like(image[..., 0])
    return image[..., :3].clone(), 1.0 - alpha


@node("JoinImageWithAlpha", title="Join Image with Alpha", category="mask/compositing", schema_form=True)
def join_image_with_alpha(image: Image, alpha: Mask) -> Image:
    """Colours with an alpha channel of 1 - mask, scaled to the image. The shorter batch decides how many result."""
    imaging.require_batch(image, "image")
    alpha = imaging.mask_batch(alpha)
    count = min(len(image), len(alpha))
    return torch.cat([image[:count, ..., :3], _cover(alpha[:count], image)], dim=-1)


def _cover(mask: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """Coverage [b h w 1] of the image's size: 1 where the mask is 0."""
    return 1.0 - imaging.resize_masks(mask.to(image), image.shape[2], image.shape[1])[..., None]
