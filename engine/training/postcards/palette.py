"""Colours: the ten object colours, and what each time of day does to them, to the sky and to the land.

Objects are saturated, land and sky are pastel, so that every object stands out and its colour can be told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["OBJECT_COLOURS", "RGB", "Inks", "Light", "inks_of", "light_of", "mixed"]

RGB = tuple[int, int, int]

OBJECT_COLOURS: Mapping[str, RGB] = MappingProxyType(
    {
        "red": (214, 44, 46),
        "orange": (242, 130, 28),
        "yellow": (250, 206, 40),
        "green": (38, 150, 74),
        "blue": (36, 98, 214),
        "purple": (126, 62, 176),
        "pink": (246, 122, 178),
        "white": (250, 249, 246),
        "black": (36, 36, 44),
        "brown": (122, 74, 40),
    }
)


def mixed(first: RGB, second: RGB, share: float) -> RGB:
    """The colour this share of the way from the first to the second."""
    return (
        round(first[0] + (second[0] - first[0]) * share),
        round(first[1] + (second[1] - first[1]) * share),
        round(first[2] + (second[2] - first[2]) * share),
    )


@dataclass(frozen=True, slots=True)
class Light:
    """A time of day: the sky from top to horizon, clouds, and how things are tinted.

    `object_tint` multiplies object colours; `land_tint` multiplies land colours, which are then mixed with `ambient`
    and made more or less vivid.
    """

    sky: tuple[RGB, RGB, RGB]
    cloud: RGB
    cloud_shade: RGB
    object_tint: tuple[float, float, float]
    land_tint: tuple[float, float, float]
    ambient: RGB
    ambient_share: float
    land_vividness: float
    glow: RGB
    glass: RGB
    shadow: RGB

    def on_object(self, colour: RGB) -> RGB:
        """An object's colour in this light."""
        red, green, blue = self.object_tint
        return min(255, round(colour[0] * red)), min(255, round(colour[1] * green)), min(255, round(colour[2] * blue))

    def on_land(self, colour: RGB) -> RGB:
        """A land colour in this light."""
        red, green, blue = self.land_tint
        tinted = round(colour[0] * red), round(colour[1] * green), round(colour[2] * blue)
        hazy = mixed(tinted, self.ambient, self.ambient_share)
        grey = sum(hazy) // 3
        vivid = [min(255, max(0, round(grey + (band - grey) * self.land_vividness))) for band in hazy]
        return vivid[0], vivid[1], vivid[2]


_LIGHTS: Mapping[str, Light] = MappingProxyType(
    {
        "day": Light(
            sky=((104, 178, 226), (158, 208, 236), (216, 236, 240)),
            cloud=(230, 239, 248),
            cloud_shade=(194, 213, 230),
            object_tint=(1.0, 1.0, 1.0),
            land_tint=(1.0, 1.0, 1.0),
            ambient=(220, 232, 236),
            ambient_share=0.0,
            land_vividness=1.05,
            glow=(255, 236, 150),
            glass=(176, 214, 232),
            shadow=(40, 60, 70),
        ),
        "sunset": Light(
            sky=((104, 82, 142), (214, 128, 142), (250, 196, 146)),
            cloud=(250, 190, 160),
            cloud_shade=(186, 112, 140),
            object_tint=(1.0, 0.93, 0.90),
            land_tint=(0.90, 0.80, 0.73),
            ambient=(196, 104, 128),
            ambient_share=0.15,
            land_vividness=1.3,
            glow=(255, 214, 120),
            glass=(255, 214, 140),
            shadow=(62, 32, 62),
        ),
        "night": Light(
            sky=((16, 22, 58), (30, 46, 98), (84, 108, 160)),
            cloud=(72, 90, 134),
            cloud_shade=(44, 58, 100),
            object_tint=(0.82, 0.84, 0.90),
            land_tint=(0.46, 0.48, 0.62),
            ambient=(30, 46, 96),
            ambient_share=0.20,
            land_vividness=1.45,
            glow=(226, 234, 255),
            glass=(255, 214, 110),
            shadow=(6, 10, 30),
        ),
        "dawn": Light(
            sky=((172, 186, 224), (226, 202, 222), (252, 232, 206)),
            cloud=(252, 234, 234),
            cloud_shade=(214, 190, 214),
            object_tint=(0.98, 0.96, 0.98),
            land_tint=(0.97, 0.92, 0.97),
            ambient=(232, 200, 220),
            ambient_share=0.24,
            land_vividness=1.25,
            glow=(255, 232, 190),
            glass=(250, 224, 214),
            shadow=(70, 60, 96),
        ),
    }
)


def light_of(time: str) -> Light:
    """The light of a time of day."""
    return _LIGHTS[time]


@dataclass(frozen=True, slots=True)
class Inks:
    """The paints for one object: its own colour in four depths, and the neutral trims."""

    main: RGB
    light: RGB
    dark: RGB
    deep: RGB
    trim: RGB
    roof: RGB
    wood: RGB
    cream: RGB
    coal: RGB
    glass: RGB
    leaf: RGB
    gold: RGB


def inks_of(colour: str, light: Light) -> Inks:
    """The paints of an object of this colour in this light."""
    main = OBJECT_COLOURS[colour]
    shade = {"white": (150, 166, 190), "black": (10, 10, 16), "yellow": (206, 130, 10)}.get(colour, (24, 10, 40))
    lift = {"black": (120, 124, 140), "white": (255, 255, 255)}.get(colour, (255, 244, 226))
    depth = 0.5 if colour in ("white", "yellow") else 0.26
    is_dark = colour in ("black", "brown", "blue", "purple")
    lit = light.on_object
    return Inks(
        main=lit(main),
        light=lit(mixed(main, lift, 0.24)),
        dark=lit(mixed(main, shade, depth)),
        deep=lit(mixed(main, shade, min(1.0, depth * 1.9))),
        trim=lit((112, 124, 146) if colour == "white" else (250, 246, 236)),
        roof=lit((186, 190, 200) if is_dark else (68, 74, 92)),
        wood=lit((196, 152, 108) if is_dark else (112, 78, 58)),
        cream=lit((246, 236, 214)),
        coal=lit((52, 52, 62)),
        glass=light.glass,
        leaf=lit((74, 140, 84)),
        gold=lit((250, 206, 84)),
    )
