"""What a run shows in the editor: progress, unfinished pictures, the picture, and the same when all is cached."""

from __future__ import annotations

import pytest

from tests.server_harness import hurry
from tests.web.browser import Page
from tests.web.screens import focus_graph
from tests.web.toys import open_workflow, run_card, toy_node, toy_page, toy_workflow

CARD_PICTURE = "document.querySelector('section[aria-label=\"Last run\"] img')"
NODE_PICTURE = "document.querySelector('.outputs img')"
FORECAST = "document.querySelector('[aria-label=\"What a run would do\"]')"
FAR_PIXELS = """(() => {
  const canvas = document.querySelector('#graph canvas');
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4) count += data[i] > 90 && data[i] < 160 && data[i] === data[i + 2];
  return count;
})()"""
PREVIEW = "document.querySelector('.node-preview img')"


async def hover(page: Page, selector: str, text: str) -> None:
    """Rest the pointer on an element."""
    x, y = await page.place(selector, text)
    await page.send("Input.dispatchMouseEvent", type="mouseMoved", x=x - 200, y=y + 200)
    await page.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_run_shows_unfinished_pictures_then_the_picture_and_the_same_picture_when_all_is_cached(tmp_path):
    async with toy_page(tmp_path) as (server, page):
        await open_workflow(page, toy_workflow(toy_node(1, "Paint", ["a boat", 600, 300.0])))
        await hover(page, "header button", "Run")
        await page.until(f"{FORECAST}?.innerText.includes('About 5 min 0 s') && {FORECAST}.innerText.includes('Paint')")
        await page.click("header button", "Run")
        await page.until(f"{FORECAST} === null")
        await page.until(f"{PREVIEW}?.naturalWidth === 64")
        first = await page.value(f"{PREVIEW}.src")
        await page.until(f"{PREVIEW} && {PREVIEW}.src !== {first!r} && {CARD_PICTURE}.src === {PREVIEW}.src")

        await page.reload()
        await page.until(f"{PREVIEW}?.naturalWidth === 64 && {CARD_PICTURE}?.src === {PREVIEW}.src")
        await page.click(".node-preview")
        await page.until("document.querySelector('[role=dialog] img')?.naturalWidth === 64")
        hurry(server)
        await run_card(page, "Done")
        await page.until("document.querySelector('[role=dialog] img')?.src.includes('/assets/')")
        await page.key("Escape")
        shown = await page.value(f"{CARD_PICTURE}.src")
        await page.until(f"{PREVIEW} === null && {NODE_PICTURE}?.src === {shown!r}")

        await page.reload()
        await page.until(f"{NODE_PICTURE}?.src === {shown!r}")
        await hover(page, "header button", "Run")
        await page.until(f"{FORECAST}?.innerText.includes('all is cached')")
        await page.click("header button", "Run")
        await run_card(page, "Done")
        await page.until(f"{CARD_PICTURE}?.src === {shown!r} && {CARD_PICTURE}.naturalWidth === 64")
        await page.until(f"{NODE_PICTURE}?.src === {shown!r}")

        assert await page.value(FAR_PIXELS) == 0
        await focus_graph(page)
        for _ in range(4):
            await page.key("-", 1)
        await page.until("document.querySelectorAll('.node').length === 0")
        await page.until(f"{FAR_PIXELS} > 200")
        assert page.complaints == []
