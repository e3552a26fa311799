"""Placing latents over each other, and masks for inpainting. Positions are in pixels, 8 to a latent cell."""

from __future__ import annotations

from typing import Annotated

import torch

from engine.api import MAX_DIMENSION, Latent, Mask, Range, imaging, node

__all__ = ["composite_latents", "composite_latents_masked", "set_latent_noise_mask"]

Position = Annotated[int, Range(0, MAX_DIMENSION, step=8)]


@node("LatentComposite", title="Latent Composite", category="latent")
def composite_latents(
    samples_to: Latent, samples_from: Latent, x: Position = 0, y: Position = 0, feather: Position = 0
) -> Latent:
    """Paste one latent onto another; the edges that lie inside the target fade over `feather` pixels.

    Cell k from such an edge (from 0) has weight (k + 1) / width of the fade.
    """
    target, source = samples_to["samples"], samples_from["samples"]
    imaging.require_same_layout(target, source, "samples_from")
    left, top, fade = (value // imaging.PIXELS_PER_CELL for value in (x, y, feather))
    source = source[..., : max(target.shape[-2] - top, 0), : max(target.shape[-1] - left, 0)]
    rows = _fade(source.shape[-2], fade, top > 0, top + source.shape[-2] < target.shape[-2])
    columns = _fade(source.shape[-1], fade, left > 0, left + source.shape[-1] < target.shape[-1])
    return {**samples_to, "samples": imaging.paste(target, source, left, top, rows[:, None] * columns)}


def _fade(length: int, fade: int, has_start: bool, has_end: bool) -> torch.Tensor:
    weights = torch.ones(length)
    # A fade longer than the source is cut off where the source ends.
    ramp = (torch.arange(fade)[:length] + 1) / max(fade, 1)
    if has_start:
        weights[: len(ramp)] *= ramp
    if has_end:
        weights[length - len(ramp) :] *= ramp.flip(0)
    return weights


@node("LatentCompositeMasked", title="LatentCompositeMasked", category="latent")
def composite_latents_masked(
    destination: Latent,
    source: Latent,
    x: Position = 0,
    y: Position = 0,
    resize_source: bool = False,
    mask: Mask | None = None,
) -> Latent:
    """The source over the destination, visible where the mask is 1; what sticks out is cut off.

    The mask is scaled to the source; source and mask are repeated over the destination's batch.
    """
    target, other = destination["samples"], source["samples"]
    imaging.require_same_layout(target, other, "source")
    result = imaging.paste(
        target, other, x // imaging.PIXELS_PER_CELL, y // imaging.PIXELS_PER_CELL, mask, resize_source
    )
    return {**destination, "samples": result}


@node("SetLatentNoiseMask", title="Set Latent Noise Mask", category="latent/inpaint")
def set_latent_noise_mask(samples: Latent, mask: Mask) -> Latent:
    """Restrict sampling to where the mask is 1. The mask keeps its own resolution, [b 1 h w]."""
    return {**samples, "noise_mask": imaging.mask_batch(mask)[:, None]}
