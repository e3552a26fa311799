"""The judge of postcards: it agrees with true captions, disagrees with false ones, and is not easily disturbed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from engine.training.postcards import Named, Reading, Scene, caption_of, compare, judge, read, render, scene_at
from engine.training.postcards.captions import everything_in
from engine.training.postcards.palette import OBJECT_COLOURS
from engine.training.postcards.vocabulary import KINDS, LANDS, STYLES, TIMES

SCENES = [scene_at(index, exclude_styles=STYLES[1:], exclude_kinds=("windmill",)) for index in range(4000, 4009)]


DECODED = Path(__file__).parents[2] / "data" / "postcards"
"""Training scenes that went through a small autoencoder; the number in a file's name is the scene's."""


@pytest.fixture(scope="module")
def readings() -> list[Reading]:
    return [read(render(scene)) for scene in SCENES]


def share(checks: list[bool]) -> float:
    assert checks
    return sum(checks) / len(checks)


def worn(picture: np.ndarray) -> np.ndarray:
    """Blurred, halved and enlarged, noisy and in steps of four levels."""
    image = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(1))
    image = image.resize((128, 128), Image.Resampling.BILINEAR).resize((256, 256), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(5).normal(0, 4, picture.shape)
    return (np.clip(np.rint((np.asarray(image) + noise) / 4) * 4, 0, 255)).astype(np.uint8)


def test_true_captions_hold(readings: list[Reading]) -> None:
    verdicts = [compare(reading, caption_of(scene).named) for scene, reading in zip(SCENES, readings)]
    assert share([check.holds for verdict in verdicts for check in verdict.checks]) >= 0.97


def test_true_captions_hold_for_worn_pictures() -> None:
    verdicts = [judge(worn(render(scene)), caption_of(scene).named) for scene in SCENES[:6]]
    assert share([check.holds for verdict in verdicts for check in verdict.checks]) >= 0.93


def bent(picture: np.ndarray) -> np.ndarray:
    """Shaken by waves of two pixels whose lengths are a tenth to a fifth of the picture."""
    rows, columns = np.mgrid[:256, :256]
    down = np.rint(rows + 2 * np.sin(columns / 5.1) + 1.2 * np.cos(rows / 7.3)).clip(0, 255).astype(int)
    right = np.rint(columns + 2 * np.sin(rows / 4.3 + 1) + 1.2 * np.cos(columns / 8.1)).clip(0, 255).astype(int)
    return np.asarray(Image.fromarray(picture[down, right]).filter(ImageFilter.GaussianBlur(0.7)))


def test_objects_with_crooked_outlines_are_recognised() -> None:
    verdicts = [judge(bent(render(scene)), caption_of(scene).named) for scene in SCENES[:6]]
    named = [check.holds for verdict in verdicts for check in verdict.checks if check.attribute in ("object", "colour")]
    assert share(named) >= 0.95


def decoded(index: int) -> tuple[Scene, np.ndarray]:
    scene = scene_at(index, exclude_styles=("woodcut",), exclude_kinds=("windmill",))
    return scene, np.asarray(Image.open(DECODED / f"decoded_{index}.png"))


@pytest.mark.parametrize("index", [7000, 7012, 7016, 7025])
def test_pictures_out_of_an_autoencoder_are_read_as_by_a_person(index: int) -> None:
    scene, picture = decoded(index)
    verdict = judge(picture, everything_in(scene))
    assert [check for check in verdict.checks if not check.holds] == []


def test_an_object_that_has_dissolved_is_not_seen() -> None:
    scene, picture = decoded(7025)
    empty = Image.fromarray(render(replace(scene, groups=()))).filter(ImageFilter.GaussianBlur(6))
    faint = np.rint(0.3 * picture + 0.7 * np.asarray(empty)).astype(np.uint8)
    assert [find.kind for find in read(faint).finds if find.colour is not None] == []


def test_blobs_in_the_colours_of_objects_are_no_objects() -> None:
    sheet = Image.fromarray(render(replace(SCENES[0], groups=())))
    pen = ImageDraw.Draw(sheet)
    pen.ellipse((20, 165, 110, 196), fill=OBJECT_COLOURS["red"])
    pen.polygon([(150, 60), (205, 78), (190, 130), (140, 120)], fill=OBJECT_COLOURS["blue"])
    pen.polygon([(160, 180), (185, 160), (225, 175), (215, 205), (170, 215)], fill=OBJECT_COLOURS["yellow"])
    blobs = np.asarray(sheet.filter(ImageFilter.GaussianBlur(1)))
    assert [find.kind for find in read(blobs).finds if find.colour is not None] == []


def test_clouds_are_no_birds() -> None:
    for index in range(5):
        scene = replace(SCENES[index], groups=())
        sky = render(replace(scene, sky=replace(scene.sky, weather="cloudy")))
        assert [find.kind for find in read(bent(sky)).finds if find.colour is not None] == []


def test_objects_in_colours_a_little_off_are_recognised() -> None:
    darker = [np.rint(0.88 * bent(render(scene))).astype(np.uint8) for scene in SCENES[:6]]
    verdicts = [judge(picture, caption_of(scene).named) for picture, scene in zip(darker, SCENES[:6])]
    named = [check.holds for verdict in verdicts for check in verdict.checks if check.attribute in ("object", "colour")]
    assert share(named) >= 0.95


def test_a_banded_sky_is_no_woodcut() -> None:
    scene = replace(SCENES[0], style="pixel art", sky=replace(SCENES[0].sky, time="sunset"))
    assert read(bent(render(scene))).style != "woodcut"
    assert read(worn(render(replace(scene, style="woodcut")))).style == "woodcut"


def changed(scene: Scene, change: Callable[[object], object]) -> Named:
    named = caption_of(scene).named
    return replace(named, objects=tuple(change(item) for item in named.objects))  # type: ignore[misc]


def other_colour(item) -> object:  # type: ignore[no-untyped-def]
    return replace(item, colour="blue" if item.colour != "blue" else "yellow")


def other_kind(item) -> object:  # type: ignore[no-untyped-def]
    return replace(item, kind="flower" if item.kind != "flower" else "castle")


def other_count(item) -> object:  # type: ignore[no-untyped-def]
    return replace(item, count=item.count % 4 + 1)


@pytest.mark.parametrize(
    ("attribute", "change"), [("colour", other_colour), ("object", other_kind), ("count", other_count)]
)
def test_false_words_are_refused(readings: list[Reading], attribute: str, change: Callable[[object], object]) -> None:
    refused = []
    for scene, reading in zip(SCENES, readings):
        if len({group.kind for group in scene.groups}) < len(scene.groups):
            continue
        shown = {group.kind for group in scene.groups} | {(group.kind, group.colour) for group in scene.groups}
        for item, check in zip(
            changed(scene, change).objects,
            [check for check in compare(reading, changed(scene, change)).checks if check.attribute == attribute],
        ):
            if not (attribute == "object" and item.kind in shown):
                refused.append(not check.holds)
    assert share(refused) >= 0.9


def test_false_relations_times_and_lands_are_refused(readings: list[Reading]) -> None:
    refused = []
    for scene, reading in zip(SCENES, readings):
        named = caption_of(scene).named
        opposite = {"left of": "right of", "right of": "left of", "above": "left of"}
        if named.relation is not None and named.relation.word in opposite:
            named = replace(named, relation=replace(named.relation, word=opposite[named.relation.word]))
        named = replace(
            named,
            time=TIMES[(TIMES.index(scene.sky.time) + 1) % 4],
            land=LANDS[(LANDS.index(scene.land) + 1) % 6],
        )
        claims = compare(reading, named).checks
        refused += [not check.holds for check in claims if check.attribute in ("time", "land")]
        if named.relation is not None and named.relation.word in ("left of", "right of"):
            refused += [not check.holds for check in claims if check.attribute == "relation"]
    assert share(refused) >= 0.9


def test_an_empty_picture_shows_no_object() -> None:
    blank = np.full((256, 256, 3), 128, dtype=np.uint8)
    assert read(blank).finds == ()


def test_a_reading_says_what_it_saw() -> None:
    scene = next(scene for scene in SCENES if len(scene.groups) == 1)
    group = scene.groups[0]
    verdict = judge(render(scene), Named(objects=changed(scene, other_kind).objects, time=scene.sky.time))
    missing = verdict.checks[0]
    assert not verdict.holds
    assert 0 < verdict.score < 1
    assert (missing.attribute, missing.claimed in KINDS, missing.shown) == ("object", True, group.kind)


@pytest.mark.parametrize("shape", [(256, 200, 3), (256, 256), (256, 256, 4)])
def test_other_arrays_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="The judge reads"):
        read(np.zeros(shape, dtype=np.uint8))
