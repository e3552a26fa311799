"""Which scene an index stands for: balanced, the same in every process, and independent of every other index."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from engine.training.postcards.chance import Chance
from engine.training.postcards.layout import GroupPlan, lay_out, place_body
from engine.training.postcards.scene import Celestial, Group, Relation, Scene, Sky, Split
from engine.training.postcards.vocabulary import HELD_OUT_PAIRS, KINDS, LANDS, SIZES, STYLES, TIMES, WEATHERS, Kind

__all__ = ["HELD_OUT_START", "MAX_INDEX", "scene_at"]

MAX_INDEX = 1 << 40
"""Indices of a split run from 0 up to, not including, this."""
HELD_OUT_START = MAX_INDEX
"""Held-out scenes are drawn from keys that start here, so no training index reaches them."""

_STYLE_WEIGHTS = (5.0, 2.0, 1.5, 1.5)
_WEATHER_WEIGHTS = (5.0, 2.0, 1.3, 1.7)
_SIZE_WEIGHTS = (1.0, 1.2, 1.6)
_COUNT_WEIGHTS = (3.2, 2.2, 2.4, 2.4)
_DRAWS_PER_COUNT = 10
_BODY_SHARE: Mapping[str, float] = MappingProxyType({"clear": 0.6, "cloudy": 0.35, "rain": 0.0, "snow": 0.3})
_MOON_SHARE: Mapping[str, float] = MappingProxyType({"clear": 0.9, "cloudy": 0.6, "rain": 0.0, "snow": 0.6})
_REALM_WEIGHTS: Mapping[str, float] = MappingProxyType({"ground": 1.0, "sky": 1.8, "water": 8.0})


def scene_at(
    index: int,
    *,
    seed: int = 0,
    split: Split = "train",
    exclude_styles: Collection[str] = (),
    exclude_kinds: Collection[str] = (),
    holds_out_pairs: bool = True,
) -> Scene:
    """The scene of an index. Training scenes never show a held-out pair; every second held-out scene does.

    Args:
        index: 0 ≤ index < `MAX_INDEX`.
        seed: another seed, another series of scenes.
        split: "train" or "held_out"; the two share no scene.
        exclude_styles: styles that may not occur. A scene that would not have had them stays as it is.
        exclude_kinds: kinds that may not occur.
        holds_out_pairs: whether some pairs of colour and kind are kept for every second held-out scene; otherwise all
            occur everywhere.

    Raises:
        ValueError: the index is out of range, or everything is excluded.
    """
    if not 0 <= index < MAX_INDEX:
        raise ValueError(f"Scene index {index} is outside 0 … {MAX_INDEX - 1}.")
    key = index if split == "train" else HELD_OUT_START + index
    chance = Chance("postcard", seed, key)
    style = _style(chance.stream("style"), exclude_styles)
    land = chance.stream("land").pick(LANDS)
    time = chance.stream("time").pick(TIMES)
    weather = chance.stream("weather").weighted(WEATHERS, _WEATHER_WEIGHTS)
    kinds = _kinds(land, chance.stream("kinds"), exclude_kinds)
    held_out = HELD_OUT_PAIRS if holds_out_pairs else frozenset()
    colours = _colours(kinds, chance.stream("colours"), held_out, shows_held_out=split == "held_out" and index % 2 == 1)
    word = _relation_word(kinds, chance.stream("relation"))
    if word == "above" and kinds[0].realm != "sky":
        kinds, colours = kinds[::-1], colours[::-1]
    body = _body(time, weather, chance.stream("body"))
    groups, celestial = _arranged(kinds, colours, word, body, land, chance)
    relation = None if word is None else Relation(0, word, 1 if len(groups) == 2 else None)
    variant = chance.stream("variant").below(1 << 31)
    return Scene(index, seed, split, style, Sky(time, weather, celestial), land, groups, relation, variant)


def _style(chance: Chance, exclude: Collection[str]) -> str:
    if all(style in exclude for style in STYLES):
        raise ValueError("Every style is excluded.")
    while True:
        style = chance.weighted(STYLES, _STYLE_WEIGHTS)
        if style not in exclude:
            return style


def _kinds(land: str, chance: Chance, exclude: Collection[str]) -> tuple[Kind, ...]:
    allowed = [kind for kind in KINDS.values() if kind.name not in exclude]
    if not allowed:
        raise ValueError("Every kind is excluded.")
    fitting = [kind for kind in KINDS.values() if kind.realm != "water" or land == "sea"]
    weights = [_REALM_WEIGHTS[kind.realm] for kind in fitting]
    count = chance.weighted((0, 1, 2), (0.04, 0.46, 0.5))
    if not any(kind in fitting for kind in allowed):
        return ()
    kinds: list[Kind] = []
    while len(kinds) < count:
        kind = chance.weighted(fitting, weights)
        if kind in allowed:
            kinds.append(kind)
    return tuple(kinds)


def _colours(
    kinds: Sequence[Kind], chance: Chance, held_out_pairs: Collection[tuple[str, str]], *, shows_held_out: bool
) -> tuple[str, ...]:
    """One colour for each kind; two groups of one kind differ in colour."""
    colours: list[str] = []
    for kind in kinds:
        held_out = [colour for colour in kind.colours if (colour, kind.name) in held_out_pairs]
        if shows_held_out and held_out:
            allowed = held_out
        else:
            allowed = [colour for colour in kind.colours if colour not in held_out]
        if len(colours) == 1 and kinds[0] is kind:
            allowed = [colour for colour in kind.colours if colour not in (*held_out, colours[0])]
        colours.append(chance.pick(allowed))
    return tuple(colours)


def _relation_word(kinds: Sequence[Kind], chance: Chance) -> str | None:
    if not kinds:
        return None
    if len(kinds) == 1:
        return chance.weighted(("on the left", "on the right", "in the middle", None), (1.0, 1.0, 1.0, 2.0))
    beside = chance.pick(("left of", "right of"))
    if (kinds[0].realm == "sky") == (kinds[1].realm == "sky"):
        return beside
    return chance.weighted(("above", beside), (3.0, 2.0))


def _body(time: str, weather: str, chance: Chance) -> tuple[str, str] | None:
    """Name and size word of what shines."""
    if not chance.happens((_MOON_SHARE if time == "night" else _BODY_SHARE)[weather]):
        return None
    name = chance.pick(("full moon", "crescent moon")) if time == "night" else "sun"
    return name, chance.pick(SIZES)


def _arranged(
    kinds: Sequence[Kind],
    colours: Sequence[str],
    word: str | None,
    body: tuple[str, str] | None,
    land: str,
    chance: Chance,
) -> tuple[tuple[Group, ...], Celestial | None]:
    """Counts, sizes and places: the first draw that has room for everything. Counts are kept for several draws."""
    attempt = 0
    while True:
        trial = chance.stream("arrangement", attempt)
        counts = _counts(kinds, chance.stream("counts", attempt // _DRAWS_PER_COUNT))
        plans = [
            _plan(kind, colour, count, trial.stream(number))
            for number, (kind, colour, count) in enumerate(zip(kinds, colours, counts))
        ]
        groups = lay_out(plans, word, trial.stream("layout")) if plans else ()
        if groups is not None:
            if body is None:
                return groups, None
            celestial = place_body(body[0], body[1], land, groups, trial.stream("body"))
            if celestial is not None:
                return groups, celestial
        attempt += 1


def _counts(kinds: Sequence[Kind], chance: Chance) -> list[int]:
    return [1 + chance.weighted((0, 1, 2, 3), _COUNT_WEIGHTS) for _ in kinds]


def _plan(kind: Kind, colour: str, count: int, chance: Chance) -> GroupPlan:
    return GroupPlan(kind.name, colour, chance.weighted(SIZES, _SIZE_WEIGHTS), count, chance.between(0.93, 1.07))
