"""What nodes offer for their values, used in a real Chromium: cropping, masks that are kept, stars; and the map."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pytest

from tests.web.studio import ROOT, Studio, open_studio
from tests.web.toys import toy_node, toy_workflow

PART = "document.querySelector('.crop-part')"
NO_DIALOG = "!document.querySelector('[role=dialog]')"
CHOSEN = "document.querySelector('.node .field-combo .field-value')?.innerText"


async def crop_by_keys(studio: Studio) -> None:
    page = studio.page
    await page.click("button[aria-label='Crop the picture']")
    await page.until(f"!!{PART}")
    await page.until(f"({PART}.focus(), document.activeElement === {PART})")
    for _ in range(3):
        await page.key("ArrowLeft", 10)
    await page.until(f"{PART}.innerText.startsWith('354 ')")
    await page.key("Enter")
    await page.until(NO_DIALOG)
    await page.until(f"{CHOSEN} === 'lake-part.png'")
    picture = "document.querySelector('.node .outputs img')"
    await page.until(f"{picture}.src.includes('part') && {picture}.naturalWidth === 354")


async def mask_is_not_lost(studio: Studio) -> None:
    page = studio.page
    await page.click("button[aria-label='Paint a mask']")
    canvas = "[role=dialog] canvas[role=application]"
    await page.until(f"!!document.querySelector('{canvas}')")
    await page.press_at(*await page.place(canvas))
    await page.key("Escape")
    await page.until("document.querySelector('[role=alertdialog]')?.contains(document.activeElement)")
    await page.key("Enter")
    await page.until("!document.querySelector('[role=alertdialog]')")
    assert not await page.value(NO_DIALOG)
    await page.key("Escape")
    await page.click("[role=alertdialog] button", "Discard")
    await page.until(NO_DIALOG)


async def star_stays(studio: Studio) -> None:
    page = studio.page
    first = "document.querySelector('.choices [role=option]')?.innerText"
    await page.click(".node .field-combo")
    await page.until(f"{first}?.startsWith('lake')")
    await page.type("part")
    await page.until("document.querySelectorAll('.choices [role=option]').length === 1")
    await page.key("Enter", 1)
    await page.key("Escape")
    await page.click(".node .field-combo")
    await page.until(f"{first}?.startsWith('lake-part.png')")
    await page.key("Escape")
    await page.until("JSON.parse(localStorage['atelier-preferences']).favourites?.input?.join() === 'lake-part.png'")


async def map_moves_the_picture(studio: Studio) -> None:
    page = studio.page
    place = "document.querySelector('.map-frame').style.transform"
    before = await page.value(place)
    await page.until("document.querySelector('.map').focus() === undefined")
    await page.key("ArrowRight")
    await page.until(f"{place} !== {json.dumps(before)}")
    await page.key("m", 1)
    await page.until("!document.querySelector('.map')")
    await page.click("button[aria-label='Show the map']")
    await page.until("!!document.querySelector('.map')")


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_tools_for_values_do_what_they_say(tmp_path: Path) -> None:
    form = aiohttp.FormData()
    form.add_field("file", (ROOT / "input" / "example_lake.png").read_bytes(), filename="lake.png")
    async with open_studio(tmp_path) as studio:
        sent = await studio.server.session.post(f"{studio.server.url}/api/v1/assets", data=form)
        assert sent.status == 201
        node = toy_node(1, "LoadImage", ["lake.png", "image"])
        await studio.put("loaded", toy_workflow(node | {"size": [340, 420]}))
        await studio.open("/?workflow=loaded")
        await studio.page.until(f"{CHOSEN} === 'lake.png'")
        await crop_by_keys(studio)
        await mask_is_not_lost(studio)
        await star_stays(studio)
        await map_moves_the_picture(studio)
        assert studio.page.complaints == []
