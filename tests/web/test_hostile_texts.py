"""Markup in every text a workflow, a file name, a field or an error can hold: the page shows it and runs none of it."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.web.browser import Page
from tests.web.painting_worker import FAILING_STEPS
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
from tests.web.toys import open_workflow

RUN = "localStorage.ran=document.title"
CORPUS = (
    f"<script>{RUN}</script>",
    f'<img src=x onerror="{RUN}">',
    f'"><svg onload="{RUN}"><animate onbegin="{RUN}" attributeName=x dur=1s></svg>',
    f'[link](javascript:{RUN}) ![p](x" onerror="{RUN})',
    f'<a href="javascript:{RUN}">a</a><iframe srcdoc="<script>{RUN}</script>"></iframe>',
    f'<details open ontoggle="{RUN}"><math><mtext><style><img src=x onerror="{RUN}">',
    f"'-{RUN}-' `${{{RUN}}}` {{{{{RUN}}}}} javascript:{RUN}",
)
INJECTED = """[...document.querySelectorAll("*")].filter((one) =>
  one.matches('script:not([src]), iframe, object, embed, a[href^="javascript:" i], img[src="x"], animate, math')
  || [...one.attributes].some(({ name }) => /^on/i.test(name))).map((one) => one.outerHTML.slice(0, 200))"""
FILL = """((corpus) => {
  const fields = [...document.querySelectorAll("input, textarea")].filter((one) => one.checkVisibility()
    && !one.readOnly && (one.tagName === "TEXTAREA" || ["text", "search", "password"].includes(one.type)));
  fields.forEach((field, at) => {
    const kind = field.tagName === "TEXTAREA" ? HTMLTextAreaElement : HTMLInputElement;
    Object.getOwnPropertyDescriptor(kind.prototype, "value").set.call(field, corpus[at % corpus.length]);
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.dispatchEvent(new FocusEvent("focusout", { bubbles: true }));
  });
  return fields.length;
})"""
#: What a text has become is in the page after a frame or two; what ran late is found on a later screen.
FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"
FILE_NAME = "<img src=x onerror=localStorage.ran=1>"
SVG = f"<svg xmlns='http://www.w3.org/2000/svg' onload='{RUN}'><script>{RUN}</script></svg>"


def text(at: int) -> str:
    return CORPUS[at % len(CORPUS)]


def hostile_workflow() -> dict[str, Any]:
    """Markup in titles, names, values, notes, groups, colours, types, a subgraph, a form and everything unknown."""
    node = {"flags": {}, "order": 0, "mode": 0, "inputs": [], "outputs": [], "properties": {text(0): text(1)}}
    notes = [
        {**node, "id": 10 + at, "type": kind, "title": text(at), "pos": [at * 260, 600], "size": [250, 200],
         "widgets_values": ["\n\n".join(CORPUS)]}
        for at, kind in enumerate(("Note", "MarkdownNote"))
    ]  # fmt: skip
    sampler = {
        **node, "id": 1, "type": "KSampler", "title": text(2), "pos": [0, 0], "size": [320, 300],
        "color": f"red\" onclick=\"{RUN}", "bgcolor": "url(javascript:1)", "inputs": [
            {"name": "model", "type": "MODEL", "label": text(3), "link": None},
            {"name": text(4), "type": text(5), "link": 1},
        ],
        "outputs": [{"name": text(6), "label": text(0), "type": "LATENT", "links": []}],
        "widgets_values": [1, "randomize", 20, 8.0, text(1), text(2), 1.0],
    }  # fmt: skip
    words = {**node, "id": 2, "type": "CLIPTextEncode", "title": text(4), "pos": [360, 0], "size": [400, 200],
             "outputs": [{"name": text(1), "type": text(5), "links": [1]}], "widgets_values": [text(5)]}  # fmt: skip
    label = {"name": "sigmas", "type": "STRING", "label": text(2), "widget": {"name": "sigmas"}, "link": None}
    levels = {**node, "id": 8, "type": "ManualSigmas", "title": text(3), "pos": [1200, 0], "size": [300, 100],
              "inputs": [label], "widgets_values": [text(0)]}  # fmt: skip
    picture = {**node, "id": 9, "type": "LoadImage", "title": text(5), "pos": [1200, 200], "size": [300, 300],
               "widgets_values": [f"{FILE_NAME}.png", "image"]}  # fmt: skip
    gone = {"name": f"{text(1)}.safetensors", "url": f"https://x/{text(2)}", "directory": text(3)}
    loader = {**node, "id": 7, "type": "CheckpointLoaderSimple", "pos": [1200, 600], "size": [300, 150],
              "widgets_values": [gone["name"]], "properties": {"models": [gone]}}  # fmt: skip
    save = {**node, "id": 3, "type": "SaveImage", "pos": [800, 0], "size": [300, 200], "widgets_values": [text(6)]}
    unknown = {**node, "id": 4, "type": text(1), "pos": [0, 350], "size": [300, 150], "widgets_values": [*CORPUS]}
    inside = {
        "id": text(3), "version": 1, "name": text(0), "nodes": [{**words, "outputs": []}], "links": [], "groups": [],
        "inputNode": {"id": -10, "bounding": [0, 0, 100, 60]}, "outputNode": {"id": -20, "bounding": [900, 0, 100, 60]},
        "inputs": [{"id": "a", "name": text(2), "label": text(1), "type": text(5)}], "outputs": [],
    }  # fmt: skip
    instance = {**node, "id": 5, "type": text(3), "pos": [360, 300], "size": [300, 100], "inputs": [
        {"name": text(2), "label": text(1), "type": text(5), "link": None}]}  # fmt: skip
    fields = [{"node": "1", "widget": "steps", "label": text(0)}, {"node": "2", "widget": "text", "label": text(1)}]
    return {
        "last_node_id": 20, "last_link_id": 1, "version": 0.4, "config": {text(0): text(1)},
        "nodes": [sampler, words, save, unknown, instance, levels, picture, loader, *notes],
        "links": [[1, 2, 0, 1, 1, text(5)]],
        "groups": [{"title": text(1), "bounding": [-50, -80, 900, 500], "color": f"#\"><img src=x onerror={RUN}>"}],
        "definitions": {"subgraphs": [inside]},
        "extra": {"atelier_form": {"title": text(1), "fields": fields, "outputs": ["3"]}, text(2): text(3)},
    }  # fmt: skip


def prompt_of(num_steps: int) -> dict[str, Any]:
    """A graph that can be run; with `FAILING_STEPS` its sampler raises an error with markup in it."""
    sampler = {
        "model": ["1", 0], "positive": ["2", 0], "negative": ["2", 0], "latent_image": ["3", 0], "seed": 1, "cfg": 1.0,
        "steps": num_steps, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
    }  # fmt: skip
    title = {"_meta": {"title": text(1)}}
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "starter.safetensors"}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": text(1)}, **title},
        "3": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "4": {"class_type": "KSampler", "inputs": sampler, **title},
        "5": {"class_type": "VAEDecode", "inputs": {"samples": ["4", 0], "vae": ["1", 2]}},
        "6": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "x"}},
    }


class Watch:
    """Looks at every screen for what ran and what was made of markup."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.found: dict[str, Any] = {}
        self.num_fields = 0

    async def look(self, screen: str, *, fills: bool = True) -> None:
        await self.page.value(FRAMES)
        if fills:
            self.num_fields += await self.page.value(f"{FILL}({json.dumps(CORPUS)})")
            await self.page.value(FRAMES)
        ran, injected = await self.page.value("localStorage.ran"), await self.page.value(INJECTED)
        if ran is not None or injected:
            self.found[screen] = (ran, injected)


async def make_hostile_files(studio: Studio, folder: Path) -> str:
    """A checkpoint, a picture and a drawing with markup for names and content; the address of the drawing."""
    name = f"{FILE_NAME}.safetensors"
    (folder / "base" / "models" / "checkpoints" / name).write_bytes(b"not read")
    lake = (ROOT / "input" / "example_lake.png").read_bytes()
    (folder / "base" / "input" / f"{FILE_NAME}.png").write_bytes(lake)
    form = aiohttp.FormData()
    form.add_field("file", SVG.encode(), filename="drawing.svg", content_type="image/svg+xml")
    status, sent = await studio.server.call("POST", "/assets", data=form)
    if status not in (200, 201):
        return "/"
    return f"/view?filename={sent['name']}&subfolder={sent['subfolder']}&type={sent['type']}"


async def editor_screens(studio: Studio, watch: Watch) -> None:
    page = studio.page
    await studio.open("/?workflow=hostile")
    await page.until("[...document.querySelectorAll('[role=tab]')].some((tab) => tab.innerText.startsWith('hostile'))")
    await focus_graph(page)
    await page.until("!!document.querySelector('.node .note strong, .node .note p, .node .note a')")
    await watch.look("graph", fills=False)
    await windows_of_values(page, watch)
    for name in PANELS:
        await open_panel(page, name)
        if name == "Outline":
            await page.until("document.querySelectorAll('[role=treeitem]').length > 4")
            await page.until("document.querySelector('[role=treeitem][tabindex=\"0\"]')?.focus() === undefined")
            for key in ("ArrowRight", "ArrowDown") * 4:
                await page.key(key)
        await watch.look(f"panel {name}", fills=name != "Nodes")
    await page.click("nav button", "Gallery")
    for name in WINDOWS:
        await open_menu(page)
        await choose_in_menu(page, name)
        await watch.look(f"window {name}")
        if name == "Versions":
            await page.click("[role=dialog] button", "Compare")
            await page.click("section button", "List")
            await watch.look("comparison")
        else:
            await page.key("Escape")
        await page.until("!document.querySelector('[role=dialog]')")
    await open_palette(page)
    await watch.look("palette", fills=False)
    await choose_in_palette(page, "#5")
    await page.until("!!document.getElementById('node-title')")
    await watch.look("properties of an instance")
    await focus_graph(page)
    await page.key("]", 2)
    await page.click("nav button", "Inputs and outputs")
    await page.until("!!document.querySelector('[role=dialog] select')")
    await watch.look("interface of a subgraph")
    await page.key("Escape")


async def windows_of_values(page: Page, watch: Watch) -> None:
    """The curve of levels that are none, lists of files, masks and crops of a picture with such a name."""
    await show_node(page, "8")
    await page.click(".node button", "Curve of ")
    await page.until("!!document.querySelector('[role=dialog]')")
    await watch.look("curve")
    await page.key("Escape")
    await show_node(page, "9")
    await page.click(".node .field-combo", FILE_NAME)
    await page.until("document.querySelector('.choices-picture img')?.naturalWidth === 128")
    await watch.look("choices with pictures")
    await page.key("Escape")
    for button, there in (("Paint a mask", "[role=dialog] canvas"), ("Crop the picture", ".crop-part")):
        await page.click(f".node button[aria-label='{button}']")
        await page.until(f"!!document.querySelector('{there}')")
        await watch.look(button)
        await close_window(page)


async def show_node(page: Page, node: str) -> None:
    """Go to a node by the palette."""
    await focus_graph(page)
    await open_palette(page)
    await choose_in_palette(page, f"#{node}")


async def picture_in_the_making(page: Page, watch: Watch) -> None:
    """A run of a file with such a name and such titles: its card, and its unfinished picture large."""
    workflow = text_to_image(num_steps=10_000)
    for at, node in enumerate(workflow["nodes"]):
        node["title"] = text(at)
    await open_workflow(page, workflow, FILE_NAME)
    await page.until(f"document.querySelector('[role=tab][aria-selected=true]')?.innerText.trim() === {FILE_NAME!r}")
    await page.click("header button", "Run")
    await page.click("section button", "Unfinished picture")
    await page.until("document.querySelector('[role=dialog] img')?.naturalWidth > 0")
    await watch.look("an unfinished picture")
    await page.until(f"document.querySelector('section[aria-label=\"Last run\"]')?.innerText.includes({FILE_NAME!r})")
    await page.key("Escape")
    await page.click("header button", "Cancel the job")


async def error_and_form_screens(studio: Studio, watch: Watch) -> None:
    page = studio.page
    job = await studio.server.submit(prompt_of(FAILING_STEPS))
    await studio.server.call("GET", f"/jobs/{job['id']}/wait?seconds=60")
    await page.click("nav button", "Queue")
    await page.until("document.querySelector('aside')?.innerText.includes('Failed')")
    await watch.look("queue with an error", fills=False)
    job = await studio.server.submit(prompt_of(1))
    await studio.server.call("GET", f"/jobs/{job['id']}/wait?seconds=60")
    await page.until("document.querySelectorAll('aside summary').length > 0")
    await page.click("aside summary", "Memory")
    await page.until("document.querySelector('aside')?.innerText.includes('At most')")
    await watch.look("what a job held", fills=False)
    await page.click("nav button", "Gallery")
    await page.click("aside button", "Show ")
    await page.click("[role=dialog] button", "Details")
    await page.until("document.querySelector('[role=dialog]').innerText.includes('onerror')")
    await watch.look("metadata of a picture", fills=False)
    await page.click("[role=dialog] button", "Open the graph")
    await watch.look("graph of a picture", fills=False)
    await picture_in_the_making(page, watch)
    await studio.open("/?workflow=hostile&view=form")
    await page.until("!!document.querySelector('form label')")
    await watch.look("form")
    await page.click("form button", "Run")
    await page.until("!!document.querySelector('[role=alert]')")
    await watch.look("form with an error")


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_no_markup_of_a_workflow_a_file_or_an_error_ever_runs(tmp_path: Path) -> None:
    async with open_studio(tmp_path) as studio:
        watch = Watch(studio.page)
        await studio.put("hostile", hostile_workflow())
        drawing = await make_hostile_files(studio, tmp_path)
        await editor_screens(studio, watch)
        await error_and_form_screens(studio, watch)
        assert watch.found == {}, json.dumps(watch.found, indent=1)
        assert watch.num_fields > 40
        refused = [entry for entry in studio.page.complaints if "Content Security Policy" in entry]
        assert refused == [], "markup reached the page and only its policy stopped it"
        with suppress(RuntimeError):  # it may be sent as a file to keep: no document then
            await studio.page.go(studio.server.url + drawing)
            await studio.page.until("document.readyState === 'complete'")
            await studio.page.value(FRAMES)
        await studio.page.go(f"{studio.server.url}/status")
        assert await studio.page.value("localStorage.ran") is None
