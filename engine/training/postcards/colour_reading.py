"""Which pixels of a picture have one of the ten object colours: soft maps, by distance in CIELAB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType

import numpy as np

from engine.training.postcards.palette import RGB, Inks, inks_of, light_of, mixed
from engine.training.postcards.sky import body_tones
from engine.training.postcards.vocabulary import COLOURS

__all__ = ["body_map", "colour_maps", "in_style", "lab"]

_TO_XYZ = np.array(((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505)), dtype=np.float32)
_WHITE = np.array((0.9505, 1.0, 1.089), dtype=np.float32)
_WEIGHTS = np.array((0.62, 1, 1), dtype=np.float32)
"""Lightness counts less than hue and chroma: light and shade change it."""
_INK: RGB = (38, 30, 34)
_REACH = 24.0
_RIVALRY = 5.0
_TINTS: Mapping[str, tuple[RGB, float]] = MappingProxyType(
    {
        "flat": ((0, 0, 0), 0.0),
        "pixel art": ((0, 0, 0), 0.0),
        "watercolor": ((250, 245, 234), 0.14),
        "woodcut": ((235, 230, 220), 0.24),
    }
)


@cache
def _linear() -> np.ndarray:
    """sRGB decoding of the 256 levels (IEC 61966-2-1)."""
    level = np.arange(256) / 255
    return np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4).astype(np.float32)


def lab(picture: np.ndarray) -> np.ndarray:
    """CIELAB float32 [… 3] of sRGB uint8 [… 3]."""
    xyz = _linear()[picture] @ _TO_XYZ.T / _WHITE
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    return np.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), axis=-1)


def in_style(paint: np.ndarray, style: str) -> np.ndarray:
    """Paint [… 3], 0 … 255, as this style shows it, texture aside; uint8."""
    paper, share = _TINTS[style]
    return np.clip(paint + (np.array(paper, dtype=np.float32) - paint) * share, 0, 255).astype(np.uint8)


def colour_maps(picture_lab: np.ndarray, background: np.ndarray, time: str, style: str) -> np.ndarray:
    """How much each pixel looks like each object colour: float32 [10 h w], 0 … 1, in the order of `COLOURS`.

    Args:
        picture_lab: CIELAB float32 [h w 3].
        background: colours usual behind objects in each row, CIELAB [colours h 3]; what is nearer to one of these
            than to an object colour counts little.
        time: the light the colours are seen in.
        style: the style they are painted in.
    """
    distances = _distances(picture_lab, time, style)
    ranked = np.sort(distances, axis=0)
    rival = np.where(distances == ranked[0], ranked[1], ranked[0])
    return _soft(distances, np.minimum(rival, _to_background(picture_lab, background, time, style)))


def body_map(picture_lab: np.ndarray, background: np.ndarray, time: str, style: str) -> np.ndarray:
    """How much each pixel looks like what shines at this time, the sun or the moon; as `colour_maps`, [h w]."""
    tones = lab(in_style(np.array(body_tones(time), dtype=np.float32), style)) * _WEIGHTS
    distance = _nearest(picture_lab * _WEIGHTS, tones)
    return _soft(distance, _to_background(picture_lab, background, time, style))


def _soft(distances: np.ndarray, rival: np.ndarray) -> np.ndarray:
    """1 for a colour that is met exactly and has no rival near, towards 0 for one that is far or outdone."""
    closeness = np.exp(-((distances / _REACH) ** 2))
    return closeness / (1 + np.exp(np.clip((distances - rival) / _RIVALRY, -30, 30)))


def _to_background(picture_lab: np.ndarray, background: np.ndarray, time: str, style: str) -> np.ndarray:
    """Distance to the nearest colour usual in the row, or to the clouds' colours, [h w]."""
    scaled = picture_lab * _WEIGHTS
    light = light_of(time)
    tones = lab(in_style(np.array((light.cloud, light.cloud_shade), dtype=np.float32), style)) * _WEIGHTS
    nearest = _nearest(scaled, tones)
    for usual in background:
        offset = scaled - usual[:, None] * _WEIGHTS
        nearest = np.minimum(nearest, np.sqrt(np.einsum("...c,...c->...", offset, offset)))
    return nearest


def _nearest(scaled: np.ndarray, tones: np.ndarray) -> np.ndarray:
    """Distance to the nearest of a few tones [n 3], in weighted CIELAB."""
    nearest = np.full(scaled.shape[:-1], np.inf, dtype=np.float32)
    for tone in tones:
        offset = scaled - tone
        nearest = np.minimum(nearest, np.einsum("...c,...c->...", offset, offset))
    return np.sqrt(nearest)


def _distances(picture_lab: np.ndarray, time: str, style: str) -> np.ndarray:
    """Distance to the nearest depth of each colour, [10 …]."""
    scaled = picture_lab * _WEIGHTS
    return np.stack([_nearest(scaled, depths) for depths in _prototypes(time, style)])


@cache
def _prototypes(time: str, style: str) -> tuple[np.ndarray, ...]:
    """For each colour its depths in this light and style, weighted CIELAB [depths 3]."""
    light = light_of(time)
    return tuple(
        lab(in_style(np.array(_depths(inks_of(colour, light)), dtype=np.float32), style)) * _WEIGHTS
        for colour in COLOURS
    )


def _inked(tones: np.ndarray, style: str) -> np.ndarray:
    """The tones uint8 [n 3]; in a woodcut also as they look where fine lines have run into them."""
    if style != "woodcut":
        return tones
    dark = tones + (np.array(_INK, dtype=np.float32) - tones) * 0.32
    return np.concatenate([tones, np.rint(dark).astype(np.uint8)])


def _depths(inks: Inks) -> Sequence[RGB]:
    return inks.main, inks.light, mixed(inks.main, inks.dark, 0.6), inks.dark
