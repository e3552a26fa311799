"""Pictures for control networks, made of other pictures without any weights."""

from __future__ import annotations

from typing import Annotated

from engine.api import Image, Mask, Options, Range, Seed, imaging, node, require_room

__all__ = ["make_color_cells", "make_hole", "make_scribble", "make_shuffled", "make_tile"]

CATEGORY = "image/preprocessors"


@node("ScribbleLines", title="Scribble lines", category=CATEGORY)
def make_scribble(image: Image, threshold: Annotated[float, Range(0.01, 1.0, step=0.005)] = 0.125) -> Image:
    """White lines on black where a picture is darker than around it, for ControlNets that follow scribbles.

    A lower threshold finds more lines.
    """
    return imaging.scribble(imaging.require_batch(image, "image"), threshold)


@node("SoftTile", title="Picture without detail", category=CATEGORY)
def make_tile(image: Image, factor: Annotated[int, Range(1, 64, step=1)] = 8) -> Image:
    """The picture without anything finer than `factor` pixels, for ControlNets that paint detail (tile)."""
    return imaging.soften_tiles(imaging.require_batch(image, "image"), factor)


@node("ColorCells", title="Colour cells", category=CATEGORY)
def make_color_cells(image: Image, cell_size: Annotated[int, Range(8, 512, step=8), Options(unit="px")] = 64) -> Image:
    """Squares of one colour each, in pixels, for adapters that follow colours."""
    return imaging.color_cells(imaging.require_batch(image, "image"), cell_size)


@node("ShuffledContent", title="Shuffled content", category=CATEGORY)
def make_shuffled(image: Image, seed: Seed = 0) -> Image:
    """The picture's colours and materials without its layout, for ControlNets that take a style (shuffle)."""
    return imaging.shuffle_content(imaging.require_batch(image, "image"), seed % (1 << 62))


@node("HoleForControl", title="Picture with a hole", category=CATEGORY)
def make_hole(image: Image, mask: Mask) -> Image:
    """The picture marked where the mask is above a half, for ControlNets that fill holes (inpaint).

    The mark is -1, below every colour, so connect it to Apply ControlNet and not to something that saves pictures.
    """
    pixels = imaging.require_batch(image, "image")
    planes = imaging.mask_batch(mask)
    require_room((max(len(pixels), len(planes)), *pixels.shape[1:]), "mask")
    return imaging.blank_hole(pixels, planes)
