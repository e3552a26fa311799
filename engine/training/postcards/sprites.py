"""One object as a small picture of its own, and how it is set into the postcard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageFilter

from engine.training.postcards import objects_moving, objects_standing
from engine.training.postcards.drawing import OVERSAMPLING, Brush
from engine.training.postcards.palette import Inks, Light, inks_of
from engine.training.postcards.scene import Place
from engine.training.postcards.vocabulary import KINDS

__all__ = ["Sprite", "coverage_of", "paint_object", "set_into"]

_Drawer = Callable[[Brush, Inks], None]
_DRAWERS: Mapping[str, _Drawer] = MappingProxyType(
    {
        "house": objects_standing.house,
        "tree": objects_standing.tree,
        "car": objects_standing.car,
        "lighthouse": objects_standing.lighthouse,
        "castle": objects_standing.castle,
        "flower": objects_standing.flower,
        "cat": objects_standing.cat,
        "windmill": objects_standing.windmill,
        "boat": objects_moving.boat,
        "balloon": objects_moving.balloon,
        "bird": objects_moving.bird,
    }
)
_PAD_PX = 4


@dataclass(frozen=True, slots=True)
class Sprite:
    """A painted object: premultiplied paint and coverage uint8 [h w 4], own-colour area uint8 [h w], its corner."""

    left_px: int
    top_px: int
    paint: np.ndarray
    own: np.ndarray


def paint_object(kind: str, colour: str, place: Place, light: Light, size_px: int) -> Sprite:
    """Paint one object for a picture of this size, lit from the left."""
    box = place.box
    left, top = box.left * size_px, box.top * size_px
    left_px, top_px = int(left) - _PAD_PX, int(top) - _PAD_PX
    width_px = int(place.width * size_px) + 2 * _PAD_PX + 2
    height_px = int(place.height * size_px) + 2 * _PAD_PX + 2
    scale = place.height * size_px * OVERSAMPLING
    origin = ((left - left_px) * OVERSAMPLING, (top - top_px) * OVERSAMPLING)
    inks = inks_of(colour, light)
    sheet_px = (width_px * OVERSAMPLING, height_px * OVERSAMPLING)
    brush = Brush(sheet_px, origin, scale, KINDS[kind].aspect, inks.main, place.is_mirrored)
    _DRAWERS[kind](brush, inks)
    paint, own = brush.layers()
    across = np.linspace(1.05, 0.93, width_px, dtype=np.float32)
    down = np.linspace(1.03, 0.95, height_px, dtype=np.float32)
    lit = paint[..., :3] * (down[:, None] * across[None, :])[..., None]
    limit = paint[..., 3:]
    return Sprite(left_px, top_px, np.concatenate([np.minimum(lit, limit).astype(np.uint8), limit], axis=2), own)


def coverage_of(sprite: Sprite, size_px: int) -> np.ndarray:
    """How far the sprite covers each pixel of a picture of this size: float32 [h w 1], 0 … 1."""
    covered = np.zeros((size_px, size_px, 1), dtype=np.float32)
    rows, columns, inside = _overlap(sprite, size_px)
    covered[rows, columns] = sprite.paint[inside][..., 3:].astype(np.float32) / 255
    return covered


def _overlap(sprite: Sprite, size_px: int) -> tuple[slice, slice, tuple[slice, slice]]:
    """The picture's rows and columns under the sprite, and the part of the sprite inside the picture."""
    height, width = sprite.own.shape
    top, left = max(0, sprite.top_px), max(0, sprite.left_px)
    bottom, right = min(size_px, sprite.top_px + height), min(size_px, sprite.left_px + width)
    inside = (
        slice(top - sprite.top_px, bottom - sprite.top_px),
        slice(left - sprite.left_px, right - sprite.left_px),
    )
    return slice(top, bottom), slice(left, right), inside


def set_into(picture: np.ndarray, sprite: Sprite) -> None:
    """Lay the sprite over the picture uint8 [h w 3], in place.

    Where the object would drown in what is behind it, it gets a thin light or dark edge.
    """
    rows, columns, inside = _overlap(sprite, picture.shape[0])
    paint, own = sprite.paint[inside], sprite.own[inside]
    below = picture[rows, columns].astype(np.float32)
    coverage = paint[..., 3:].astype(np.float32) / 255
    edge = _edge(below, paint, own, picture.shape[0])
    if edge is not None:
        tone, halo = edge
        below += (tone - below) * halo
    below *= 1 - coverage
    below += paint[..., :3]
    picture[rows, columns] = np.minimum(below + 0.5, 255).astype(np.uint8)


def _edge(below: np.ndarray, paint: np.ndarray, own: np.ndarray, size_px: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Colour and opacity [h w 1] of a thin edge, where object and background are close in brightness and colour."""
    is_own = own > 128
    if not is_own.any():
        return None
    colour = paint[is_own][:, :3].astype(np.float32).mean(axis=0)
    behind = below.reshape(-1, 3).mean(axis=0)
    distance = float(np.abs(colour - behind).sum())
    opacity = min(0.85, max(0.0, (260 - distance) / 200))
    if opacity <= 0.05:
        return None
    is_light = float(colour.mean()) > 150 and float(behind.mean()) > 120
    tone = colour * 0.45 if is_light else colour * 0.3 + np.float32(255 * 0.7)
    radius = max(1, round(size_px / 150))
    grown = Image.fromarray(np.ascontiguousarray(paint[..., 3])).filter(ImageFilter.MaxFilter(2 * radius + 1))
    halo = np.asarray(grown.filter(ImageFilter.BoxBlur(0.6)), dtype=np.float32)[..., None] / 255 * opacity
    return tone.astype(np.float32), halo
