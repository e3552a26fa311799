"""The four styles: how a finished flat picture becomes a watercolor, pixel art or a woodcut.

A style may move paint by a pixel or two; `moved` moves masks the same way.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image, ImageFilter

from engine.training.postcards.drawing import noise_field

__all__ = ["PIXEL_CELLS", "moved", "styled"]

PIXEL_CELLS = 64
"""Cells a side in pixel art."""
_PAPER = np.array((250, 245, 234), dtype=np.float32)
_INK = np.array((38, 30, 34), dtype=np.float32)
_NUM_SHEETS = 4


def styled(picture: np.ndarray, style: str, variant: int) -> np.ndarray:
    """The picture uint8 [h w 3] in a style; `variant` chooses the grain."""
    sheet = variant % _NUM_SHEETS
    if style == "watercolor":
        return _watercolor(picture, sheet)
    if style == "pixel art":
        return _pixel_art(picture)
    if style == "woodcut":
        return _woodcut(picture, sheet)
    return _gouache(picture, sheet)


def moved(mask: np.ndarray, style: str, variant: int) -> np.ndarray:
    """A mask uint8 [h w], moved as the style moves paint."""
    if style == "watercolor":
        rows, columns = _wobble(mask.shape[0], variant % _NUM_SHEETS)
        return mask[rows, columns]
    if style == "pixel art":
        return _pixelated(Image.fromarray(mask))
    return mask


def _gouache(picture: np.ndarray, sheet: int) -> np.ndarray:
    side = picture.shape[0]
    return np.clip(picture.astype(np.int16) + _grain(side, sheet), 0, 255).astype(np.uint8)


@cache
def _grain(side: int, sheet: int) -> np.ndarray:
    """The unevenness of dry gouache, int16 [side side 1]."""
    broad, fine = noise_field(side, 14, sheet), noise_field(side, 44, 100 + sheet)
    return np.rint(broad * 0.030 + fine * 0.014).astype(np.int16)[..., None]


def _watercolor(picture: np.ndarray, sheet: int) -> np.ndarray:
    side = picture.shape[0]
    rows, columns = _wobble(side, sheet)
    wet = Image.fromarray(picture[rows, columns]).filter(ImageFilter.BoxBlur(side / 256 * 0.8))
    soft = wet.filter(ImageFilter.BoxBlur(side / 256 * 4))
    paint = np.asarray(wet, dtype=np.float32)
    paint += (paint - np.asarray(soft, dtype=np.float32)) * 0.55
    strength, margin = _wash(side, sheet)
    return np.clip(_PAPER + (paint - _PAPER) * (strength * margin), 0, 255).astype(np.uint8)


@cache
def _wobble(side: int, sheet: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel's paint comes from: edges waver by up to about two pixels in 256."""
    reach = side / 256 * 0.014
    shifts = [np.rint(noise_field(side, 22, 200 + 2 * sheet + axis) * reach).astype(np.intp) for axis in range(2)]
    grid = np.arange(side)
    rows = np.clip(grid[:, None] + shifts[0], 0, side - 1)
    return rows, np.clip(grid[None, :] + shifts[1], 0, side - 1)


@cache
def _wash(side: int, sheet: int) -> tuple[np.ndarray, np.ndarray]:
    """How strongly pigment lies, and the unpainted ragged margin; float32 [side side 1] each."""
    broad, middle, fine = (noise_field(side, cells, 300 + sheet) for cells in (7, 20, 60))
    strength = 0.84 + broad * 0.0016 + middle * 0.0012 + fine * 0.0005
    grid = (np.arange(side) + 0.5) / side
    rim = np.minimum(np.minimum(grid[:, None], 1 - grid[:, None]), np.minimum(grid[None, :], 1 - grid[None, :]))
    margin = np.clip((rim - 0.016 + middle * 0.00010) * 100, 0, 1)
    return strength.astype(np.float32)[..., None], margin.astype(np.float32)[..., None]


def _pixel_art(picture: np.ndarray) -> np.ndarray:
    small = Image.fromarray(picture).resize((PIXEL_CELLS, PIXEL_CELLS), Image.Resampling.BOX)
    levels = np.asarray(small, dtype=np.float32)
    mean = levels.mean(axis=2, keepdims=True)
    vivid = np.clip(mean + (levels - mean) * 1.12, 0, 255)
    stepped = (np.rint(vivid / 17) * 17).astype(np.uint8)
    side = picture.shape[0]
    return np.asarray(Image.fromarray(stepped).resize((side, side), Image.Resampling.NEAREST)).copy()


def _pixelated(mask: Image.Image) -> np.ndarray:
    small = mask.resize((PIXEL_CELLS, PIXEL_CELLS), Image.Resampling.BOX)
    return np.asarray(small.resize(mask.size, Image.Resampling.NEAREST))


def _woodcut(picture: np.ndarray, sheet: int) -> np.ndarray:
    side = picture.shape[0]
    source = Image.fromarray(picture)
    grey = source.convert("L").filter(ImageFilter.BoxBlur(side / 256))
    level = np.asarray(grey, dtype=np.float32)
    edges = np.zeros_like(level)
    reach = max(1, round(side / 200))
    edges[:, reach:] += np.abs(level[:, reach:] - level[:, :-reach])
    edges[reach:] += np.abs(level[reach:] - level[:-reach])
    lines = np.clip((edges - 11) / 14, 0, 1)
    cut = _hatching(side, sheet)
    hatch = np.clip((cut * 105 + 8 - level) / 26, 0, 1) * 0.85
    ink = np.maximum(np.maximum(lines, hatch), _border_cuts(side, sheet))[..., None]
    tinted = np.asarray(source, dtype=np.float32)
    tinted = tinted + (_PAPER * 0.94 - tinted) * 0.24
    return np.clip(tinted + (_INK - tinted) * ink, 0, 255).astype(np.uint8)


@cache
def _hatching(side: int, sheet: int) -> np.ndarray:
    """Wavering cut lines, 0 … 1, float32 [side side]."""
    grid = np.arange(side, dtype=np.float32) / side
    bend = noise_field(side, 6, 400 + sheet) * 0.00012
    phase = (grid[:, None] + 0.18 * grid[None, :] + bend) * (2 * np.pi * 34)
    return (0.5 + 0.5 * np.sin(phase)).astype(np.float32)


@cache
def _border_cuts(side: int, sheet: int) -> np.ndarray:
    """Ink of the lines that close the sky above and the ground below, thinning inwards; float32 [side side]."""
    grid = ((np.arange(side, dtype=np.float32) + 0.5) / side)[:, None]
    closeness = np.maximum(1 - grid / 0.20, (grid - 0.90) / 0.10)
    return np.clip((_hatching(side, sheet) - 1.06 + 0.62 * closeness) * 5, 0, 0.85).astype(np.float32)
