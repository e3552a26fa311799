"""Reading what is around the objects: the style, and time of day, weather and land by the nearest example.

Examples are the generator's own backgrounds, without objects. Each row of a picture is described by its colours'
quantiles and by how lively it is; differences are measured in units of the examples' own spread and clipped, so that
objects in front of the land do little harm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageFilter

from engine.training.postcards.chance import Chance
from engine.training.postcards.colour_reading import in_style, lab
from engine.training.postcards.morphology import closed, opened
from engine.training.postcards.palette import light_of
from engine.training.postcards.render import render
from engine.training.postcards.scene import Box, Scene, Sky
from engine.training.postcards.styles import PIXEL_CELLS
from engine.training.postcards.vocabulary import LANDS, TIMES, WEATHERS

__all__ = ["Scenery", "background_rows", "margin_distance", "read_scenery", "read_style", "read_weather"]

_SIDE_PX = 64
_STYLE_SIDE_PX = 256
_VARIANTS = 3
_MARKED = 9
_SPOTS: Mapping[str, float] = MappingProxyType({"day": 17.0, "sunset": 19.0, "night": 24.0, "dawn": 16.0})
"""How much paler than its surroundings a drop or a flake is; more in watercolor, whose paper has grain."""
_GRAIN = 1.7
_FALL_SHARE = 0.78
_SLANT = 0.035
_CLOUDED: Mapping[str, float] = MappingProxyType({"day": 0.095, "sunset": 0.16, "night": 0.24, "dawn": 0.165})
_CLIP = 3.0
_PAPER = (250, 245, 234)
_QUANTILES = (0.25, 0.5, 0.75)
_LINED = 0.12
"""Woodcuts are lined by 0.14 and more, blurred as well; other pictures by 0.11 and less."""


@dataclass(frozen=True, slots=True)
class Scenery:
    """What was read of time, weather and land."""

    time: str
    weather: str
    land: str


def read_style(picture: np.ndarray) -> str:
    """The style of a picture uint8 [h w 3]."""
    image = Image.fromarray(picture)
    if image.size != (_STYLE_SIDE_PX, _STYLE_SIDE_PX):
        image = image.resize((_STYLE_SIDE_PX, _STYLE_SIDE_PX), Image.Resampling.BICUBIC)
    if margin_distance(np.asarray(image)) < 14:
        return "watercolor"
    if _border_lines(image) > _LINED:
        return "woodcut"
    if _block_phase(image) > 0.42 or _cell_odds(image) > 0:
        return "pixel art"
    return "flat"


def margin_distance(pixels: np.ndarray) -> float:
    """How far the outermost frame of a picture uint8 [h w 3] is from bare paper, in CIELAB, for most of the frame."""
    frame = np.concatenate([pixels[:2].reshape(-1, 3), pixels[-2:].reshape(-1, 3), pixels[:, :2].reshape(-1, 3),
                            pixels[:, -2:].reshape(-1, 3)])  # fmt: skip
    offset = lab(frame) - lab(np.array(_PAPER, dtype=np.uint8))
    return float(np.quantile(np.sqrt((offset**2).sum(axis=-1)), 0.6))


def _block_phase(image: Image.Image) -> float:
    """The share of marked edges that lie on every fourth pixel border: a quarter by chance, near 1 for blocks of 4."""
    grey = image.convert("L")
    rows = np.asarray(grey.reduce((4, 1)), dtype=np.float32)
    columns = np.asarray(grey.reduce((1, 4)), dtype=np.float32)
    on_border, total = 0, 1
    for changes in (np.abs(np.diff(rows, axis=0)).T, np.abs(np.diff(columns, axis=1))):
        windows = changes[:, 1:253].reshape(changes.shape[0], -1, 4)
        marked = windows.max(axis=2) > _MARKED
        on_border += int((windows.argmax(axis=2)[marked] == 2).sum())
        total += int(marked.sum())
    return on_border / total


def _cell_odds(image: Image.Image) -> float:
    """Log-odds that the picture was painted in cells of four pixels, though its edges have become soft.

    Weighs how much better cells where they would be explain the picture than cells half a cell further, and how even
    neighbouring cells are. Fitted by logistic regression to training scenes decoded from an autoencoder's latents.
    """
    grey = np.asarray(image, dtype=np.float32) @ np.array((0.299, 0.587, 0.114), dtype=np.float32)
    in_place, between = _off_cells(grey[4:-4, 4:-4]), _off_cells(grey[6:-2, 6:-2])
    by_detail, by_edges = (
        float(np.minimum(between, most).mean()) / (float(np.minimum(in_place, most).mean()) + 1e-3) for most in (12, 30)
    )
    cells = grey.reshape(PIXEL_CELLS, 4, PIXEL_CELLS, 4).mean(axis=(1, 3))
    unevenness = float(np.quantile(np.abs(cells[4:-4, 6:-4] - cells[4:-4, 4:-6]), 0.25))
    return 11.4 * by_detail + 24.1 * by_edges - 10.4 * min(max(unevenness, 0.3), 1.0) - 33.1


def _off_cells(grey: np.ndarray) -> np.ndarray:
    """How far pixels are from their cell's mean, as [62 4 62 4]."""
    cells = grey.reshape(PIXEL_CELLS - 2, 4, PIXEL_CELLS - 2, 4)
    return np.abs(cells - cells.mean(axis=(1, 3), keepdims=True))


def _border_lines(image: Image.Image) -> float:
    """How much darker lines make the upper edge, as a share of its lightness between them."""
    strip = image.convert("L").filter(ImageFilter.BoxBlur(1)).crop((4, 4, _STYLE_SIDE_PX - 4, 30))
    grey = np.asarray(strip, dtype=np.int16)
    between = closed(grey, 9)
    return float((between - grey).mean() / between.mean())


def read_scenery(picture: np.ndarray, style: str) -> Scenery:
    """Time and land of a picture uint8 [h w 3] in this style; its weather is only a first guess, see `read_weather`."""
    labels, means, spread = _examples(style)
    offset = np.minimum(np.abs(means - _features(picture)) / spread, _CLIP)
    return Scenery(*labels[int(offset.mean(axis=1).argmin())])


def read_weather(picture: np.ndarray, scenery: Scenery, style: str, taken: Sequence[Box]) -> str:
    """The weather of a picture uint8 [h w 3]; what is inside the boxes, where objects are, is not looked at."""
    small = _half_size(picture, style)
    is_free = np.ones(small.shape[:2], dtype=bool)
    for box in taken:
        left, top, right, bottom = (round(edge * 2 * _SIDE_PX) for edge in (box.left, box.top, box.right, box.bottom))
        is_free[max(0, top - 3) : bottom + 4, max(0, left - 3) : right + 3] = False
    falling = _fall(small, is_free, scenery.time, style)
    if falling is not None:
        return falling
    cover = _cloud_cover(small, is_free, scenery.time, scenery.land, style)
    return "cloudy" if cover > _CLOUDED[scenery.time] else "clear"


def background_rows(scenery: Scenery, style: str, rows: int) -> np.ndarray:
    """The usual background colours of each row, CIELAB float32 [colours rows 3]."""
    labels, means, _ = _examples(style)
    number = labels.index((scenery.time, scenery.weather, scenery.land))
    table = means[number][: _SIDE_PX * len(_QUANTILES) * 3].reshape(len(_QUANTILES), _SIDE_PX, 3)
    return np.repeat(table, rows // _SIDE_PX, axis=1)


@cache
def _examples(style: str) -> tuple[tuple[tuple[str, str, str], ...], np.ndarray, np.ndarray]:
    """Labels (time, weather, land), mean features [n f] and the spread of each feature within a label [f]."""
    labels, means, deviations = [], [], []
    for time in TIMES:
        for weather in WEATHERS:
            for land in LANDS:
                rows = np.stack([_example(style, time, weather, land, number) for number in range(_VARIANTS)])
                labels.append((time, weather, land))
                means.append(rows.mean(axis=0))
                deviations.append(rows.var(axis=0, ddof=1))
    spread = np.sqrt(np.mean(deviations, axis=0)) + _least_spread()
    return tuple(labels), np.stack(means), spread


def _example(style: str, time: str, weather: str, land: str, number: int) -> np.ndarray:
    variant = Chance("example", time, weather, land, number).below(1 << 31)
    scene = Scene(0, 0, "train", style, Sky(time, weather, None), land, (), None, variant)
    return _features(render(scene, _SIDE_PX))


def _features(picture: np.ndarray) -> np.ndarray:
    """Quantiles of each row's colours, then how lively bands of rows are."""
    image = Image.fromarray(picture)
    colours = lab(np.asarray(image.resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BOX)))
    ordered = np.sort(colours[:, 2:-2], axis=1)
    quantiles = np.stack([ordered[:, int(share * ordered.shape[1])] for share in _QUANTILES])
    lightness = colours[..., 0]
    liveliness = np.abs(np.diff(lightness, axis=1))
    bands = [np.minimum(rows, 20).mean() for rows in np.array_split(liveliness, 16)]
    drops = [np.minimum(rows, 20).mean() for rows in np.array_split(np.abs(np.diff(lightness, axis=0)), 16)]
    return np.concatenate([quantiles.ravel(), bands, drops])


def _cloud_cover(small: np.ndarray, is_free: np.ndarray, time: str, land: str, style: str) -> float:
    """The share of the free upper sky that has the clouds' colours and not the colours usual in its row."""
    height = int(0.36 * _SIDE_PX)
    sky = lab(small).reshape(_SIDE_PX, 2, _SIDE_PX, 2, 3).mean(axis=(1, 3))[2:height, 2:-2]
    is_free = is_free[::2, ::2][2:height, 2:-2]
    light = light_of(time)
    tones = lab(in_style(np.array((light.cloud, light.cloud_shade), dtype=np.float32), style))
    to_cloud = np.sqrt(((sky[:, :, None] - tones) ** 2).sum(axis=-1)).min(axis=2)
    to_sky = np.full(sky.shape[:2], np.inf, dtype=np.float32)
    for weather in ("clear", "cloudy"):
        usual = background_rows(Scenery(time, weather, land), style, _SIDE_PX)[1, 2:height, None]
        to_sky = np.minimum(to_sky, np.sqrt(((sky - usual) ** 2).sum(axis=-1)))
    return float(((to_cloud < 11) & (to_cloud < to_sky) & is_free).sum() / max(1, is_free.sum()))


def _fall(small: np.ndarray, is_free: np.ndarray, time: str, style: str) -> str | None:
    """ "rain" or "snow" where small pale spots lie all over the picture, slanted streaks or not; None otherwise."""
    greatest, least = small.max(axis=2).astype(np.int16), small.min(axis=2).astype(np.int16)
    pale = np.maximum(2 * least - greatest, 0)
    floor = _SPOTS[time] * (_GRAIN if style == "watercolor" else 1.0)
    spots = np.clip(pale - opened(pale, 7) - floor, 0, 60) * is_free
    is_hit = _in_cells(spots > 4) >= 2
    is_seen = _in_cells(is_free) > 0.6 * 256
    for band in (slice(1, 4), slice(4, 7)):
        seen = is_seen[band, 1:7]
        if seen.sum() >= 3 and is_hit[band, 1:7][seen].mean() < _FALL_SHARE:
            return None
    along = float((spots[4:, :-1] * spots[:-4, 1:]).mean())
    across = float((spots[4:, 1:] * spots[:-4, :-1]).mean())
    return "rain" if along - across > _SLANT * (float((spots**2).mean()) + 0.5) else "snow"


def _in_cells(mask: np.ndarray) -> np.ndarray:
    """How many pixels of each cell of 16 are set, [8 8]."""
    return mask.reshape(8, 16, 8, 16).sum(axis=(1, 3))


def _half_size(picture: np.ndarray, style: str) -> np.ndarray:
    """The picture as uint8 [128 128 3]; a woodcut's dark lines are closed first."""
    image = Image.fromarray(picture)
    if style == "woodcut":
        image = Image.fromarray(closed(picture, 2 * (picture.shape[0] // 128) + 1))
    return np.asarray(image.resize((2 * _SIDE_PX, 2 * _SIDE_PX), Image.Resampling.BOX))


def _least_spread() -> np.ndarray:
    """Below these differences nothing counts: colours (in CIELAB), liveliness."""
    count = _SIDE_PX * len(_QUANTILES)
    return np.concatenate([np.full(count * 3, 2.0), np.full(32, 0.5)]).astype(np.float32)
