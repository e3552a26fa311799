"""Every screen of the editor, examined by axe in a real Chromium: nothing serious, in dark and in light."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pytest

from engine.command.editor import find_tools, install_packages
from engine.server.login_page import login_page
from tests.web.browser import Page
from tests.web.screens import (
    PANELS,
    WINDOWS,
    choose_in_menu,
    choose_in_palette,
    close_window,
    focus_graph,
    open_menu,
    open_palette,
    open_panel,
)
from tests.web.studio import ROOT, Studio, open_studio, text_to_image
from tests.web.toys import toy_node, toy_workflow

AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
FINDINGS = """axe.run(document, %s).then(({ violations }) => violations
  .filter((found) => found.impact === "serious" || found.impact === "critical")
  .flatMap((found) => found.nodes.map((node) => `${found.id}: ${node.html.slice(0, 200)}`)))"""
EVERYTHING = '{ resultTypes: ["violations"], preload: false, selectors: false }'
CONTRAST = '{ resultTypes: ["violations"], preload: false, selectors: false, runOnly: ["color-contrast"] }'
AT_REST = "Promise.all(document.getAnimations().map((one) => one.finished.catch(() => 0))).then(() => 1)"
BREAK_A_DRAFT = """(async () => {
  const done = (asked) => new Promise((then) => { asked.onsuccess = () => then(asked.result); });
  const database = await done(indexedDB.open("atelier"));
  const drafts = database.transaction("drafts", "readwrite").objectStore("drafts");
  const last = (await done(drafts.getAll())).sort((one, two) => one.order - two.order).at(-1);
  const text = '{"nodes": [<img src=x onerror="localStorage.ran=1">, cut off';
  await done(drafts.put({ ...last, text }));
  sessionStorage.setItem("atelier-tab", last.tab);
  database.close();
})()"""
#: A job that runs until it is cancelled, however slow the machine is.
MANY_STEPS = 10_000
WIDE, PHONE = (1280, 800), (390, 844)


class Examiner:
    """Collects what axe finds, by screen."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.found: dict[str, list[str]] = {}

    async def look(self, screen: str) -> None:
        """Everything in the dark theme; in the light one what can differ: contrast."""
        page = self.page
        if not await page.value("typeof axe !== 'undefined'"):
            await page.value(AXE.read_text(encoding="utf-8") + "; 1")
        for name, rules in (("light", CONTRAST), ("dark", EVERYTHING)):
            await page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])
            await page.value(AT_REST)
            if found := await page.value(FINDINGS % rules):
                self.found[f"{screen}, {name}"] = found


async def run_once(studio: Studio) -> None:
    """A picture for the gallery and a job for the queue."""
    page = studio.page
    await page.key("Enter", 2)
    await page.until("document.querySelector('section[aria-label=\"Last run\"] img')?.naturalWidth > 0")
    await focus_graph(page)


async def unfinished_picture(studio: Studio, look: Examiner) -> None:
    """The picture of a job at work, large."""
    page = studio.page
    await studio.open("/?workflow=slow")
    await page.until("[...document.querySelectorAll('[role=tab]')].some((tab) => tab.innerText === 'slow')")
    await focus_graph(page)
    await page.key("Enter", 2)
    await page.click("section button", "Unfinished picture")
    await page.until("document.querySelector('[role=dialog] img')?.naturalWidth > 0")
    await look.look("an unfinished picture")
    await page.key("Escape")
    await page.click("header button", "Cancel the job")
    await page.until("document.querySelector('section[aria-label=\"Last run\"]')?.innerText.includes('Cancelled')")


async def wide_screens(studio: Studio, look: Examiner) -> None:
    page = studio.page
    await unfinished_picture(studio, look)
    await studio.open("/?workflow=house")
    await page.until("[...document.querySelectorAll('[role=tab]')].some((tab) => tab.innerText === 'house')")
    await look.look("graph")
    await run_once(studio)
    await look.look("after a run")
    await open_palette(page)
    await look.look("palette")
    await choose_in_palette(page, "Sampler")
    await page.until("!!document.getElementById('node-title')")
    await look.look("properties")
    for name in PANELS:
        await open_panel(page, name)
        if name == "Queue":
            await page.click("aside summary", "Memory")
            await page.until("document.querySelector('aside')?.innerText.includes('At most')")
        await look.look(f"panel {name}")
    await page.click("aside button", "Show ")
    await page.until("!!document.querySelector('[role=dialog] img')")
    await look.look("lightbox")
    await page.click("[role=dialog] button", "Details")
    await page.until("document.querySelector('[role=dialog]').innerText.includes('Save')")
    await look.look("details of a picture")
    await page.key("Escape")
    await page.click("nav button", "Gallery")
    for name in WINDOWS:
        await open_menu(page)
        if name == WINDOWS[0]:
            await look.look("menu")
        await choose_in_menu(page, name)
        await look.look(f"window {name}")
        await close_window(page)
    await conflict_screen(studio, look)
    await open_lists(studio, look)
    await subgraph_screens(studio, look)


async def conflict_screen(studio: Studio, look: Examiner) -> None:
    """Somebody else has saved the file that is saved now."""
    page = studio.page
    await studio.put("house", text_to_image() | {"revision": 2})
    await focus_graph(page)
    await page.key("s", 2)
    await page.until("document.querySelector('[role=dialog]')?.innerText.includes('changed elsewhere')")
    await look.look("a conflict")
    await close_window(page)
    page.complaints.clear()  # the browser notes the refused request


async def open_lists(studio: Studio, look: Examiner) -> None:
    """A list of choices on a node, and a page without its server."""
    page = studio.page
    await page.click(".node .field-combo", "sampler_name")
    await page.until("!!document.querySelector('.choices [role=option]')")
    await look.look("choices of a widget")
    await page.key("Escape")
    offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    await page.send("Network.enable")
    await page.send("Network.emulateNetworkConditions", offline=True, **offline)
    await page.until("!!document.querySelector('[role=alert]')")
    await look.look("without a server")
    await page.send("Network.emulateNetworkConditions", offline=False, **offline)
    await page.until("!document.querySelector('[role=alert]')")
    page.complaints.clear()


async def subgraph_screens(studio: Studio, look: Examiner) -> None:
    page = studio.page
    await focus_graph(page)
    await page.key("A", 8)
    await page.until("document.querySelectorAll('[role=option], [cmdk-item]').length > 1")
    await look.look("search")
    await page.key("Escape")
    await page.until("!document.querySelector('[role=dialog]')")
    await page.press_at(650, 740, button="right")
    await page.until("!!document.querySelector('[role=menuitem]')")
    await look.look("context menu")
    await page.key("Escape")
    await focus_graph(page)
    await page.key("a", 2)
    await page.key("e", 10)
    await page.until("document.querySelectorAll('.node').length === 1")
    await page.key("]", 2)
    await page.click("nav button", "Inputs and outputs")
    await page.until("!!document.querySelector('[role=dialog] select')")
    await look.look("interface of a subgraph")
    await page.key("Escape")
    await page.click("nav button", "Workflow")
    await page.click("header button", "Menu")
    await page.click("[role=menuitem]", "Versions")
    await page.click("[role=dialog] button", "Compare")
    await page.click("section button", "List")
    await look.look("comparison")


async def mask_screen(studio: Studio, look: Examiner) -> None:
    """Painting a mask over a picture of the input folder."""
    form = aiohttp.FormData()
    form.add_field("file", (ROOT / "input" / "example_lake.png").read_bytes(), filename="lake.png")
    sent = await studio.server.session.post(f"{studio.server.url}/api/v1/assets", data=form)
    assert sent.status == 201
    node, levels = toy_node(1, "LoadImage", ["lake.png", "image"]), toy_node(2, "ManualSigmas", ["14, 3, 1, 0"], 360)
    await studio.put("masked", toy_workflow(node, levels))
    await studio.open("/?workflow=masked")
    button = "button[aria-label='Paint a mask']"
    await studio.page.until(f'!!document.querySelector("{button}")')
    await studio.page.click(button)
    await studio.page.until("document.querySelectorAll('[role=dialog] canvas').length === 2")
    await look.look("painting a mask")
    await studio.page.key("Escape")
    await studio.page.click("button[aria-label='Crop the picture']")
    await studio.page.until("!!document.querySelector('.crop-part')")
    await look.look("cropping a picture")
    await studio.page.key("Escape")
    await studio.page.click(".node button", "Curve of ")
    await studio.page.until("document.querySelectorAll('[role=dialog] [role=slider]').length === 4")
    await look.look("curve of noise levels")
    await studio.page.key("Escape")
    await studio.page.click(".node .field-combo", "lake.png")
    await studio.page.until("document.querySelector('.choices-picture img')?.naturalWidth === 128")
    await look.look("choices with pictures")
    await studio.page.key("Escape")


async def screens_of_trouble(studio: Studio, look: Examiner) -> None:
    """A model that is missing and can be fetched, and a kept tab that cannot be read any more."""
    page, model = studio.page, {"name": "gone.safetensors", "url": "https://huggingface.co/gone", "directory": "vae"}
    node = toy_node(1, "CheckpointLoaderSimple", [model["name"]])
    await studio.put("gone", toy_workflow({**node, "properties": {"models": [model]}}))
    await studio.open("/?workflow=gone")
    await page.until("!!document.querySelector('aside button[aria-label=\"Download gone.safetensors…\"]')")
    await look.look("a model that is missing")
    # All that was opened before is there too: whenever a page comes back, it is the same window.
    shown = "[...document.querySelectorAll('[role=tab]')].map((tab) => tab.innerText)"
    await page.until(f"['masked', 'slow', 'house', 'gone'].every((name) => {shown}.join().includes(name))")
    await page.go(f"{studio.server.url}/status")
    await page.until("location.pathname === '/status' && document.readyState === 'complete'")
    await page.value(BREAK_A_DRAFT)
    await studio.open()
    await page.until("document.querySelector('main [role=alert]')?.innerText.includes('cut off')")
    await look.look("a tab that cannot be read")
    assert await page.value("localStorage.ran") is None
    await page.click("main button", "Close the tab")
    await page.until("!document.querySelector('main [role=alert]')")


async def form_screens(studio: Studio, look: Examiner) -> None:
    page = studio.page
    # A file of its own: whether the draft of the other, a subgraph by now, is back depends on the moment.
    await studio.open("/?workflow=postcard&view=form")
    await page.until("!!document.querySelector('form textarea')")
    await look.look("form")
    await page.click("form button", "Run")
    await page.until("document.querySelector('section img')?.naturalWidth > 0")
    await look.look("form with a picture")


async def phone_screens(studio: Studio, look: Examiner) -> None:
    page = studio.page
    await page.click("header button", "Show the graph")
    await page.until("!!document.getElementById('graph')")
    await look.look("graph on a phone")
    for name in ("Workflows", "Outline"):
        await open_panel(page, name)
        await look.look(f"panel {name} on a phone")


async def sign_in(look: Examiner, file: Path) -> None:
    """The page of a browser without a token, as a file: it is the same on every server."""
    file.write_text(login_page(is_wrong=True).text or "", encoding="utf-8")
    await look.page.go(file.as_uri())
    await look.page.until("!!document.querySelector('.wrong')")
    await look.look("sign in")


@pytest.mark.slow
@pytest.mark.timeout(480)
async def test_axe_finds_nothing_serious_on_any_screen(tmp_path: Path) -> None:
    if not AXE.is_file():
        install_packages(ROOT / "web", find_tools(ROOT))
    async with open_studio(tmp_path, *WIDE) as studio:
        for name in ("house", "postcard"):
            await studio.put(name, text_to_image())
        await studio.put("slow", text_to_image(num_steps=MANY_STEPS))
        look = Examiner(studio.page)
        await mask_screen(studio, look)
        await wide_screens(studio, look)
        await screens_of_trouble(studio, look)
        await form_screens(studio, look)
        size = {"width": PHONE[0], "height": PHONE[1], "deviceScaleFactor": 1, "mobile": True}
        await studio.page.send("Emulation.setDeviceMetricsOverride", **size)
        await form_screens(studio, look)
        await phone_screens(studio, look)
        assert studio.page.complaints == []
        await sign_in(look, tmp_path / "sign_in.html")
        assert look.found == {}, json.dumps(look.found, indent=1)
