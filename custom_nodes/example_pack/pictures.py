"""Nodes that take pictures, float32 tensors [b h w c] with values in [0, 1]."""

from __future__ import annotations

from typing import Annotated

import torch

from engine.api import Context, Float, Image, Mask, NodeError, Options, Range, node

__all__ = ["split_by_brightness", "tint_image"]

Strength = Annotated[float, Range(0.0, 1.0, step=0.01)]
Colour = Annotated[str, Options(tooltip="#rrggbb")]

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


@node("ExampleTintImage", title="Tint Image (example)", category="example")
def tint_image(image: Image, colour: Colour = "#ff8800", strength: Strength = 0.5) -> Image:
    """Multiply a picture by a colour; `strength` 0 leaves it alone."""
    factors = torch.tensor(_parse_colour(colour)) * strength + (1.0 - strength)
    tinted = image.clone()  # values that come in are shared: never change them in place
    tinted[..., :3] *= factors
    return tinted


@node(
    "ExampleSplitByBrightness",
    title="Split by Brightness (example)",
    category="example",
    output_names=("bright", "brightness"),
)
def split_by_brightness(ctx: Context, image: Image, threshold: Strength = 0.5) -> tuple[Mask, Float]:
    """A mask [b h w] of the pixels above `threshold`, and the mean brightness of all pictures."""
    masks, total = [], 0.0
    for index, picture in enumerate(image):
        luma = picture[..., :3] @ torch.tensor(_LUMA)
        masks.append((luma > threshold).to(torch.float32))
        total += float(luma.mean())
        ctx.progress(index + 1, len(image))
    return torch.stack(masks), total / len(image)


def _parse_colour(text: str) -> list[float]:
    digits = text.strip().removeprefix("#")
    try:
        values = bytes.fromhex(digits)
    except ValueError:
        values = b""
    if len(values) != 3:
        raise NodeError(f"{text!r} is not a colour.", input="colour", hint="Write it as #rrggbb, for example #ff8800.")
    return [value / 255 for value in values]
