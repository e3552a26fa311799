"""Pasting one image or latent onto another, and the separable blend modes. Tensors are [b c h w] here."""

from __future__ import annotations

import torch

from engine.imaging.resize import resize, resize_masks
from engine.imaging.shape import mask_batch, repeat_to_batch, visible_span

__all__ = ["BLEND_MODES", "blend", "paste"]

BLEND_MODES = ("normal", "multiply", "screen", "overlay", "soft_light", "difference")


def paste(
    destination: torch.Tensor,
    source: torch.Tensor,
    x: int,
    y: int,
    mask: torch.Tensor | None = None,
    resize_source: bool = False,
) -> torch.Tensor:
    """A copy of `destination` with `source` over it at column x, row y; whatever lies outside is cut off.

    Nothing larger than the destination, or than one scaled mask, is made on the way.

    Args:
        destination, source: [b c h w] or [b c t h w]; the source's batch is cut or repeated to the destination's.
        mask: [h w] or [b h w], 1 where the source shows; resized to the source, repeated over the batch.
        resize_source: first stretch the source to the destination's size.
    """
    result = destination.clone()
    count = destination.shape[0]
    source = source[:count].to(destination)
    if resize_source:
        source = resize(source, destination.shape[-1], destination.shape[-2], "bilinear")
    rows, source_rows = visible_span(y, source.shape[-2], destination.shape[-2])
    columns, source_columns = visible_span(x, source.shape[-1], destination.shape[-1])
    part = repeat_to_batch(source[..., source_rows, source_columns], count)
    if mask is None:
        result[..., rows, columns] = part
        return result
    masks = mask_batch(mask)[:count].to(destination)
    shape = repeat_to_batch(_visible_masks(masks, source, source_rows, source_columns), count)
    shape = shape.reshape(count, *([1] * (destination.ndim - 3)), *shape.shape[1:])
    result[..., rows, columns] = part * shape + result[..., rows, columns] * (1 - shape)
    return result


def _visible_masks(masks: torch.Tensor, source: torch.Tensor, rows: slice, columns: slice) -> torch.Tensor:
    """Of each mask [b h w], scaled to the source, the part that shows."""
    height, width = source.shape[-2:]
    scaled = (resize_masks(single, width, height) for single in masks.split(1))
    return torch.cat([single[:, rows, columns] for single in scaled])


def blend(lower: torch.Tensor, upper: torch.Tensor, mode: str) -> torch.Tensor:
    """The blend function B(lower, upper) of `mode`, elementwise on values in [0, 1].

    Source: W3C Compositing and Blending Level 1 §10 — with two customs of image tools: "overlay" and "soft_light"
    switch at ≤ 0.5, and "difference" is signed (callers clip it).
    """
    if mode == "multiply":
        return lower * upper
    if mode == "screen":
        return 1 - (1 - lower) * (1 - upper)
    if mode == "overlay":
        return torch.where(lower <= 0.5, 2 * lower * upper, 1 - 2 * (1 - lower) * (1 - upper))
    if mode == "soft_light":
        curve = torch.where(lower <= 0.25, ((16 * lower - 12) * lower + 4) * lower, lower.clamp(min=0).sqrt())
        darker = lower - (1 - 2 * upper) * lower * (1 - lower)
        return torch.where(upper <= 0.5, darker, lower + (2 * upper - 1) * (curve - lower))
    if mode == "difference":
        return lower - upper
    return upper
