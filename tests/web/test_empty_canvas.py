"""The text-to-image graph built and run from an empty canvas: with the keyboard alone, and with the mouse alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.web.browser import Page
from tests.web.studio import open_studio

#: Each node by the name that is typed, and what its inputs are linked with, as the lists of the properties say it.
STEPS: tuple[tuple[str, dict[str, str]], ...] = (
    ("Load Checkpoint", {}),
    ("CLIP Text Encode", {"clip": "Load Checkpoint #1 · CLIP"}),
    ("CLIP Text Encode", {"clip": "Load Checkpoint #1 · CLIP"}),
    ("Empty Latent Image", {}),
    (
        "KSampler",
        {
            "model": "Load Checkpoint #1 · MODEL",
            "positive": "#2 · CONDITIONING",
            "negative": "#3 · CONDITIONING",
            "latent_image": "#4 · LATENT",
        },
    ),
    ("VAE Decode", {"samples": "#5 · LATENT", "vae": "#1 · VAE"}),
    ("Save Image", {"images": "#6 · IMAGE"}),
)
#: Where the mouse puts each node, in pixels of the page, and its links: from socket to socket by their names.
PLACES: tuple[tuple[str, str, tuple[int, int]], ...] = (
    ("loaders", "Load Checkpoint", (350, 120)),
    ("conditioning", "CLIP Text Encode", (700, 120)),
    ("conditioning", "CLIP Text Encode", (700, 360)),
    ("latent", "Empty Latent Image", (350, 420)),
    ("sampling", "KSampler", (1180, 120)),
    ("latent", "VAE Decode", (1480, 120)),
    ("image", "Save Image", (1480, 300)),
)
LINKS: tuple[tuple[int, str, int, str], ...] = (
    (1, "CLIP", 2, "clip"),
    (1, "CLIP", 3, "clip"),
    (1, "MODEL", 5, "model"),
    (2, "CONDITIONING", 5, "positive"),
    (3, "CONDITIONING", 5, "negative"),
    (4, "LATENT", 5, "latent_image"),
    (5, "LATENT", 6, "samples"),
    (1, "VAE", 6, "vae"),
    (6, "IMAGE", 7, "images"),
)
WHERE = """(() => {
  const box = document.querySelector(%s)?.getBoundingClientRect();
  return box === undefined || box.width === 0 ? null : [box.x + box.width / 2, box.y + box.height / 2];
})()"""
OPENED = """[...document.querySelectorAll("details[open]:has(button) > summary")]
  .some((one) => one.innerText === %s)"""
PICTURE = "document.querySelector('section[aria-label=\"Last run\"] img')?.naturalWidth > 0"
SHOWN = "document.activeElement.selectedOptions[0].text"
#: A list shows what the document says, once a frame.
NEXT_FRAME = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))"
MAX_TABS, MAX_CHOICES = 60, 12


async def tab_to(page: Page, script: str) -> None:
    """Press Tab until what has the keyboard is what is wanted."""
    for _ in range(MAX_TABS):
        if await page.value(f"(({script}))(document.activeElement)"):
            return
        await page.key("Tab")
    raise AssertionError(f"no way by Tab: {script}")


async def add(page: Page, name: str) -> None:
    await tab_to(page, "(one) => one.id === 'graph'")
    await page.key("A", 8)
    await page.until("document.activeElement.tagName === 'INPUT' && !!document.activeElement.closest('[role=dialog]')")
    await page.type(name)
    await page.until(f"document.querySelector('[role=dialog]')?.innerText.includes({name!r})")
    await page.key("Enter")
    await page.until(f"document.getElementById('node-title')?.placeholder.startsWith({name!r})")


async def link(page: Page, name: str, source: str) -> None:
    await tab_to(page, f"(one) => one.tagName === 'SELECT' && one.labels[0]?.textContent === {json.dumps(name)}")
    for _ in range(MAX_CHOICES):
        if (await page.value(SHOWN)).endswith(source):
            return
        await page.key("ArrowDown")
        await page.value(NEXT_FRAME)
    raise AssertionError(f"{name} is not offered {source}")


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_graph_is_built_and_run_by_keyboard_alone(tmp_path: Path) -> None:
    async with open_studio(tmp_path) as studio:
        page = studio.page
        await studio.open()
        await page.key("Tab")
        for name, links in STEPS:
            await add(page, name)
            for socket, source in links.items():
                await link(page, socket, source)
        await tab_to(page, "(one) => one.id === 'graph'")
        await page.key("Enter", 2)
        await page.until(PICTURE)
        assert page.complaints == []


async def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """With the left button, in a few steps as a hand does."""
    await page.send("Input.dispatchMouseEvent", type="mouseMoved", x=start[0], y=start[1])
    await page.send(
        "Input.dispatchMouseEvent", type="mousePressed", x=start[0], y=start[1], button="left", clickCount=1
    )
    for part in (0.3, 0.8, 1.0):
        x, y = (one + (other - one) * part for one, other in zip(start, end, strict=True))
        await page.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, button="left", buttons=1)
    await page.send("Input.dispatchMouseEvent", type="mouseReleased", x=end[0], y=end[1], button="left", clickCount=1)


async def where(page: Page, selector: str) -> tuple[float, float]:
    x, y = await page.until(WHERE % json.dumps(selector))
    return x, y


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_graph_is_built_and_run_by_mouse_alone(tmp_path: Path) -> None:
    async with open_studio(tmp_path, 1920, 1080) as studio:
        page = studio.page
        await studio.open()
        await page.click("header button", "Properties")
        await page.click("nav button", "Nodes")
        for branch in dict.fromkeys(branch for branch, _, _ in PLACES):
            await page.click("aside summary", branch)
            # What opens pushes what is below it: the next press waits until it is there.
            await page.until(OPENED % json.dumps(branch))
        for number, (_, name, place) in enumerate(PLACES, 1):
            await page.click("aside button", name)
            await drag(page, await where(page, f'[data-node="{number}"] .node-title'), place)
        for origin, output, target, name in LINKS:
            start = await where(page, f'[data-node="{origin}"] .socket[title^="{output}: "]')
            end = await where(page, f'[data-node="{target}"] .socket[title^="{name}: "]')
            await drag(page, start, end)
        await page.click("header button", "Run")
        await page.until(PICTURE)
        assert page.complaints == []
