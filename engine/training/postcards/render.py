"""From a scene to its picture."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from engine.training.postcards.chance import Chance
from engine.training.postcards.drawing import Canvas
from engine.training.postcards.land import paint_land
from engine.training.postcards.palette import Light, light_of
from engine.training.postcards.scene import Place, Scene
from engine.training.postcards.sky import fall, paint_sky
from engine.training.postcards.sprites import coverage_of, paint_object, set_into
from engine.training.postcards.styles import styled
from engine.training.postcards.vocabulary import KINDS

__all__ = ["MAX_SIZE_PX", "MIN_SIZE_PX", "paint_background", "render"]

MIN_SIZE_PX = 64
MAX_SIZE_PX = 1024


def render(scene: Scene, size_px: int = 256) -> np.ndarray:
    """Paint the scene as uint8 [size size 3]; every size shows the same composition. The caller owns the picture.

    Raises:
        ValueError: the size is not in `MIN_SIZE_PX` … `MAX_SIZE_PX`.
    """
    if not MIN_SIZE_PX <= size_px <= MAX_SIZE_PX:
        raise ValueError(f"A postcard of {size_px} px was asked for; sizes run from {MIN_SIZE_PX} to {MAX_SIZE_PX} px.")
    light = light_of(scene.sky.time)
    picture = paint_background(scene, size_px)
    falling = fall(scene.sky, Chance("fall", scene.variant), size_px)
    is_cut = scene.style == "woodcut"
    if falling is not None and not is_cut:
        _let_fall(picture, *falling)
    uncovered = np.ones((size_px, size_px, 1), dtype=np.float32) if falling is not None and is_cut else None
    for group in scene.groups:
        realm = KINDS[group.kind].realm
        for place in group.places:
            if realm != "sky":
                _shadow(picture, place, light, is_afloat=realm == "water")
            sprite = paint_object(group.kind, group.colour, place, light, size_px)
            set_into(picture, sprite)
            if uncovered is not None:
                uncovered -= coverage_of(sprite, size_px)
    finished = styled(picture, scene.style, scene.variant)
    if falling is not None and uncovered is not None:
        _let_fall(finished, falling[0], falling[1] * np.clip(uncovered, 0, 1))
    return finished


def paint_background(scene: Scene, size_px: int) -> np.ndarray:
    """Sky and land without objects, rain, snow or style, uint8 [size size 3]."""
    light = light_of(scene.sky.time)
    chance = Chance("background", scene.variant)
    canvas = Canvas(size_px)
    paint_sky(canvas, scene.sky, light, chance.stream("sky"))
    paint_land(canvas, scene.land, scene.sky, light, chance.stream("land"))
    return canvas.picture()


def _let_fall(picture: np.ndarray, tone: np.ndarray, opacity: np.ndarray) -> None:
    """Lay rain or snow over the picture, in place. Objects come in front: a woodcut's lines must not be snowed in."""
    picture[:] = picture + (tone - picture) * opacity


def _shadow(picture: np.ndarray, place: Place, light: Light, *, is_afloat: bool) -> None:
    """A soft pool of shadow at an object's foot, in place."""
    side = picture.shape[0]
    width, height = place.width * (1.0 if is_afloat else 0.92) * side, max(0.030, place.height * 0.10) * side
    blur = max(1.0, height * 0.22)
    pad = int(blur * 2) + 1
    mask = Image.new("L", (int(width) + 2 * pad, int(height) + 2 * pad))
    ImageDraw.Draw(mask).ellipse((pad, pad, pad + width, pad + height), fill=120 if is_afloat else 135)
    mask = mask.filter(ImageFilter.BoxBlur(blur))
    left = round((place.x + place.width * 0.03) * side - width / 2) - pad
    top = round(place.box.bottom * side - height * 0.62) - pad
    rows = slice(max(0, top), min(side, top + mask.height))
    columns = slice(max(0, left), min(side, left + mask.width))
    opacity = np.asarray(mask, dtype=np.float32)[
        rows.start - top : rows.stop - top, columns.start - left : columns.stop - left, None
    ]
    area = picture[rows, columns].astype(np.float32)
    area += (np.array(light.shadow, dtype=np.float32) - area) * (opacity / 255)
    picture[rows, columns] = area.astype(np.uint8)
