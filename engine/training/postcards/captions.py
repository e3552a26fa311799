"""Captions: English sentences made from a scene, and a record of exactly what each one names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from engine.training.postcards.chance import Chance
from engine.training.postcards.scene import Scene
from engine.training.postcards.vocabulary import KINDS

__all__ = ["Caption", "Named", "NamedBody", "NamedObject", "NamedRelation", "caption_of", "everything_in"]


@dataclass(frozen=True, slots=True)
class NamedObject:
    """Objects a caption names. The count is always said; colour and size are None where the caption is silent."""

    kind: str
    count: int
    colour: str | None
    size: str | None


@dataclass(frozen=True, slots=True)
class NamedBody:
    """The sun or a moon a caption names; the size is None where it says none."""

    body: str
    size: str | None


@dataclass(frozen=True, slots=True)
class NamedRelation:
    """How the named object `subject` lies to `target`, both places in `Named.objects`; to the picture without one."""

    subject: int
    word: str
    target: int | None


@dataclass(frozen=True, slots=True)
class Named:
    """What a caption names. None: it does not speak of that."""

    objects: tuple[NamedObject, ...] = ()
    relation: NamedRelation | None = None
    body: NamedBody | None = None
    time: str | None = None
    weather: str | None = None
    land: str | None = None
    style: str | None = None


@dataclass(frozen=True, slots=True)
class Caption:
    """A caption and what it names."""

    text: str
    named: Named


_NUMBERS = ("", "a", "two", "three", "four")
_AT_TIME: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "day": ("during the day", "in daylight", "by day"),
        "sunset": ("at sunset",),
        "night": ("at night",),
        "dawn": ("at dawn",),
    }
)
_IN_WEATHER: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "clear": ("clear sky", "clear weather"),
        "cloudy": ("cloudy sky", "cloudy weather"),
        "rain": ("rain", "rainy weather"),
        "snow": ("snow", "snowy weather"),
    }
)
_BY_LAND: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "ground": MappingProxyType(
            {
                "mountains": ("in front of the mountains", "by the mountains", "in the mountains"),
                "hills": ("in the hills", "on the hills", "among the hills"),
                "sea": ("by the sea", "in front of the sea"),
                "desert": ("in the desert",),
                "city": ("in the city", "in front of the city"),
                "forest": ("by the forest", "in front of the forest", "in the forest"),
            }
        ),
        "sky": MappingProxyType(
            {
                "mountains": ("over the mountains",),
                "hills": ("over the hills",),
                "sea": ("over the sea",),
                "desert": ("over the desert",),
                "city": ("over the city",),
                "forest": ("over the forest",),
            }
        ),
        "water": MappingProxyType({"sea": ("on the sea",)}),
    }
)
_LAND_ALONE: Mapping[str, str] = MappingProxyType(
    {
        "mountains": "mountains",
        "hills": "hills",
        "sea": "the sea",
        "desert": "a desert",
        "city": "a city",
        "forest": "a forest",
    }
)
_OPENINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "flat": ("a flat illustration of ", "a flat picture of "),
        "watercolor": ("a watercolor of ", "a watercolor painting of "),
        "pixel art": ("pixel art of ", "a pixel art picture of "),
        "woodcut": ("a woodcut of ", "a woodcut print of "),
    }
)
_PLAIN_OPENINGS = ("a postcard of ", "a picture of ", "an illustration of ")
_UNDER = ("under", "under", "under", "beneath", "below")
_FULL_PARAPHRASE = 0


def caption_of(scene: Scene, paraphrase: int = 0) -> Caption:
    """A caption of the scene; the same numbers always give the same words.

    Paraphrase 0 names everything there is to name, in the plainest order. All others vary the wording, and about
    half of them leave things out. A style other than flat is always named, flat now and then.
    """
    chance = Chance("caption", scene.seed, scene.split, scene.index, paraphrase)
    if paraphrase == _FULL_PARAPHRASE:
        named = everything_in(scene)
    else:
        named = _silenced(everything_in(scene), scene.style, chance.stream("silence"))
    return Caption(_worded(named, chance.stream("words"), is_plain=paraphrase == _FULL_PARAPHRASE), named)


def everything_in(scene: Scene) -> Named:
    """All that a caption of this scene can name, save that a flat picture is one of no particular style."""
    objects = tuple(
        NamedObject(group.kind, group.count, group.colour, group.size if group.size != "medium" else None)
        for group in scene.groups
    )
    celestial = scene.sky.celestial
    body = None
    if celestial is not None:
        body = NamedBody(celestial.body, celestial.size if celestial.size != "medium" else None)
    relation = scene.relation
    return Named(
        objects=objects,
        relation=None if relation is None else NamedRelation(relation.subject, relation.word, relation.target),
        body=body,
        time=scene.sky.time,
        weather=scene.sky.weather,
        land=scene.land,
        style=scene.style if scene.style != "flat" else None,
    )


def _silenced(full: Named, style: str, chance: Chance) -> Named:
    """What is left when a caption is silent about some things; never about everything."""
    is_partial = chance.happens(0.5)
    rate = 0.40 if is_partial else 0.0
    objects, relation = list(full.objects), full.relation
    if is_partial and len(objects) == 2 and objects[0].kind != objects[1].kind and chance.happens(0.3):
        objects, relation = [chance.pick(objects)], None
    if relation is not None and chance.happens(rate if relation.target is not None else 0.5):
        relation = None
    must_tell_apart = len(objects) == 2 and objects[0].kind == objects[1].kind
    kept = [
        NamedObject(
            item.kind,
            item.count,
            None if chance.happens(rate * 0.6) and not must_tell_apart else item.colour,
            None if chance.happens(rate) else item.size,
        )
        for item in objects
    ]
    body = full.body if not chance.happens(rate) else None
    land = None if (kept or body) and chance.happens(rate) else full.land
    return Named(
        objects=tuple(kept),
        relation=relation,
        body=body if body is None or not chance.happens(rate) else NamedBody(body.body, None),
        time=None if chance.happens(rate * 0.8) else full.time,
        weather=None if chance.happens(0.6 if full.weather == "clear" else rate * 0.8) else full.weather,
        land=land,
        style=None if style == "flat" and chance.happens(0.75) else style,
    )


def _worded(named: Named, chance: Chance, *, is_plain: bool) -> str:
    """The sentence that names exactly this."""
    first = 0 if is_plain else None
    style_opens = named.style is not None and not is_plain and chance.happens(0.4)
    opening = chance.pick(_OPENINGS[named.style]) if style_opens and named.style else ""
    if not named.style and not is_plain and chance.happens(0.12):
        opening = chance.pick(_PLAIN_OPENINGS)
    text = _subject(named, chance, first)
    tails = []
    if named.time is not None:
        if is_plain or not chance.happens(0.4):
            text += " " + _chosen(_AT_TIME[named.time], chance, first)
        else:
            tails.append(named.time)
    if named.weather is not None:
        tails.append(_chosen(_IN_WEATHER[named.weather], chance, first))
    if named.style is not None and not style_opens:
        tails.append(f"in {named.style} style" if is_plain or chance.happens(0.6) else f"{named.style} style")
    if len(tails) == 2 and not is_plain and chance.happens(0.3):
        tails.reverse()
    return opening + ", ".join([text, *tails])


def _subject(named: Named, chance: Chance, first: int | None) -> str:
    """Objects, what shines and the land, as one phrase."""
    under = _under(named, chance, first)
    if not named.objects:
        land = _LAND_ALONE[named.land] if named.land else ""
        if not under:
            return land
        if not land:
            return under.split(" ", 1)[1]
        over = f"{under.split(' ', 1)[1]} over {land.replace('a ', 'the ') if ' ' in land else 'the ' + land}"
        return f"{land} {under}" if first == 0 or chance.happens(0.5) else over
    land, host = "", _host(named, chance, is_plain=first is not None)
    if named.land is not None:
        land = _chosen(_BY_LAND[KINDS[named.objects[host].kind].realm][named.land], chance, first)
    objects = _objects(named, land, host, chance, first)
    if not under:
        return objects
    if land and not objects.endswith(land):
        return f"{objects} {under}"
    if land and first is None and chance.happens(0.5):
        return f"{objects[: -len(land)]}{under} {land}"
    return f"{objects} {under}"


def _host(named: Named, chance: Chance, *, is_plain: bool) -> int:
    """Which object the land phrase goes with: the one it is said after."""
    last = len(named.objects) - 1
    return 0 if last and named.relation is not None and not is_plain and chance.happens(0.4) else last


def _objects(named: Named, land: str, host: int, chance: Chance, first: int | None) -> str:
    """The objects, how they lie, and the land after the object it goes with."""
    phrases = [_phrase(item) for item in named.objects]
    tail = f" {land}" if land else ""
    relation = named.relation
    if relation is None:
        return " and ".join(phrases) + tail
    if relation.target is None:
        if first is None and chance.happens(0.4):
            return f"{phrases[0]}{tail} {relation.word}"
        return f"{phrases[0]} {relation.word}{tail}"
    word = relation.word
    if first is None:
        word = chance.pick({"above": ("above", "over")}.get(word, (word, f"to the {word}")))
    subject, target = phrases[relation.subject], phrases[relation.target]
    return f"{subject}{tail} {word} {target}" if host == relation.subject else f"{subject} {word} {target}{tail}"


def _phrase(item: NamedObject) -> str:
    """An object's noun with its number, size and colour: "a small white boat", "three blue balloons"."""
    kind = KINDS[item.kind]
    words = [item.size or "", item.colour or "", kind.name if item.count == 1 else kind.plural]
    phrase = " ".join(word for word in words if word)
    return f"{_NUMBERS[item.count]} {phrase}" if item.count > 1 else f"{_article(phrase)} {phrase}"


def _under(named: Named, chance: Chance, first: int | None) -> str:
    if named.body is None:
        return ""
    noun = f"{named.body.size} {named.body.body}" if named.body.size else named.body.body
    article = "the" if noun == "sun" else _article(noun)
    return f"{_chosen(_UNDER, chance, first)} {article} {noun}"


def _article(phrase: str) -> str:
    return "an" if phrase[0] in "aeiou" else "a"


def _chosen(options: Sequence[str], chance: Chance, first: int | None) -> str:
    return options[first] if first is not None else chance.pick(options)
