"""Subgraphs, blueprints, the clipboard, the outline, the grid, the form and versions, used in a real Chromium."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from tests.web.screens import focus_graph
from tests.web.studio import Studio, open_studio, text_to_image

TITLES = (
    """[...document.querySelectorAll("[role=treeitem]")].map((row) => row.textContent.replace(/#.*/s, "").trim())"""
)
EVENT = """((kind, text) => {
  const data = new DataTransfer();
  if (text !== "") data.setData("text/plain", text);
  const event = new ClipboardEvent(kind, { clipboardData: data, bubbles: true, cancelable: true });
  document.getElementById("graph").dispatchEvent(event);
  return data.getData("text/plain");
})"""


async def open_house(studio: Studio, view: str = "") -> None:
    await studio.open(f"/?workflow=house{view}")
    if view == "":
        await studio.page.until("[...document.querySelectorAll('[role=tab]')].some((one) => one.innerText === 'house')")
        await focus_graph(studio.page)


async def choose(studio: Studio, selector: str, at: int, value: str) -> None:
    """Set a field of the dialog as somebody would: an option by its text, a text by writing it."""
    script = """((selector, at, text) => {
      const field = document.querySelectorAll(`[role=dialog] ${selector}`)[at];
      const isList = field.tagName === "SELECT";
      const kind = isList ? HTMLSelectElement : HTMLTextAreaElement;
      const value = isList ? [...field.options].find((one) => one.text.endsWith(text)).value : text;
      Object.getOwnPropertyDescriptor(kind.prototype, "value").set.call(field, value);
      field.dispatchEvent(new Event(isList ? "change" : "input", { bubbles: true }));
    })"""
    await studio.page.until(f"document.querySelectorAll('[role=dialog] {selector}').length > {at}")
    await studio.page.value(f"{script}({json.dumps(selector)}, {at}, {json.dumps(value)})")


async def subgraphs_and_clipboard(studio: Studio) -> None:
    page = studio.page
    await open_house(studio)
    await page.click("nav button", "Outline")
    await page.until("document.querySelectorAll('[role=treeitem]').length > 4")
    before = await page.until(f"{TITLES}.includes('Sampler') && {TITLES}")
    await page.click("[role=treeitem]", "Sampler")
    await page.until("document.getElementById('node-title')?.value === 'Sampler'")
    await page.key("e", 10)
    await page.until(f"{TITLES}.includes('Subgraph')")
    await page.until(f"!{TITLES}.includes('Sampler')")
    await page.key("z", 2)
    await page.until(f"{TITLES}.join() === {json.dumps(','.join(before))}")
    await page.key("a", 2)
    await page.until(f"document.querySelectorAll('[role=treeitem][aria-selected=true]').length === {len(before)}")
    text = await page.value(f"{EVENT}('copy', '')")
    assert len(json.loads(text)["nodes"]) == len(before)
    await page.value(f"{EVENT}('paste', {json.dumps(text)})")
    await page.until(f"{TITLES}.length === {2 * len(before)}")
    await page.key("z", 2)
    await page.until(f"{TITLES}.length === {len(before)}")


async def outline_by_keyboard(studio: Studio) -> None:
    """To a node, into its links, along one of them, and one link away; with no pointer."""
    page = studio.page
    await page.until("document.querySelector('[role=treeitem][tabindex=\"0\"]')?.focus() === undefined")
    await page.key("Home")
    for letter in "samp":
        await page.key(letter)
    await page.until("document.activeElement.innerText.startsWith('Sampler')")
    await page.key("Enter")
    await page.until("document.activeElement.ariaSelected === 'true'")
    await page.key("ArrowRight")
    await page.until("document.activeElement.ariaExpanded === 'true'")
    await page.key("ArrowRight")
    await page.until("document.activeElement.innerText.startsWith('model from Checkpoint')")
    await page.until("document.activeElement.ariaLevel === '2'")
    await page.key(" ")
    await page.until("document.activeElement.ariaSelected === 'true'")
    await page.key("Delete")
    await page.until(
        "[...document.querySelectorAll('[role=treeitem]')].some((one) => one.textContent.startsWith('model, not'))"
    )
    await page.key("z", 2)
    await page.until(
        "[...document.querySelectorAll('[role=treeitem]')].some((one) => one.textContent.startsWith('model from'))"
    )


async def blueprint(studio: Studio) -> None:
    """The sampler as a subgraph, kept on the server and put into an empty workflow."""
    page = studio.page
    await page.click("[role=treeitem]", "Sampler")
    await page.until("document.getElementById('node-title')?.value === 'Sampler'")
    await page.key("e", 10)
    await page.until("document.getElementById('node-title')?.value === ''")
    await page.press_at(*await page.place(".node[aria-label='Subgraph'] .node-title"), button="right")
    await page.click("[role=menuitem]", "Save as blueprint")
    await page.until(
        "document.querySelector('[role=dialog] input')?.select() === undefined && !!document.activeElement.form"
    )
    await page.type("Sampling")
    await page.click("[role=dialog] button", "Save")
    await page.until("document.querySelector('[role=status]')?.innerText.includes('Sampling')")
    await page.click("header button", "New workflow")
    await page.until(f"{TITLES}.length === 0")
    await page.click("nav button", "Nodes")
    await page.click("aside button", "Insert Sampling")
    await page.click("nav button", "Outline")
    await page.until(f"{TITLES}.join() === 'Subgraph'")
    await page.click("[role=tab]", "house")
    await focus_graph(page)
    await page.key("z", 2)


async def grid(studio: Studio) -> None:
    page = studio.page
    await page.click("header button", "Menu")
    await page.click("[role=menuitem]", "XY grid")
    await choose(studio, "select", 0, "Sampler · steps")
    await choose(studio, "textarea", 0, "1..2")
    await choose(studio, "select", 1, "Sampler · cfg")
    await choose(studio, "textarea", 1, "3, 4")
    await page.click("[role=dialog] button", "Run 4")
    await page.until("[...document.querySelectorAll('td img')].filter((one) => one.naturalWidth > 0).length === 4")
    assert len(set(await page.value("[...document.querySelectorAll('td img')].map((one) => one.src)"))) == 4
    status, answer = await studio.server.call("GET", "/jobs?limit=10")
    assert status == 200
    assert len({job["client_id"] for job in answer["jobs"]}) == 1
    await page.key("Escape")


async def form(studio: Studio) -> None:
    page = studio.page
    await open_house(studio, "&view=form")
    await page.until(
        "[...document.querySelectorAll('form label')].map((one) => one.innerText).join() === 'Prompt,steps'"
    )
    await page.until("document.querySelector('h1').innerText === 'A house'")
    await page.click("form button", "Run")
    await page.until("document.querySelector('section img')?.naturalWidth > 0")


async def versions(studio: Studio, changed: dict[str, Any]) -> None:
    page = studio.page
    await studio.put("house", changed)
    await page.value(
        "new Promise((done) => { indexedDB.deleteDatabase('atelier').onsuccess = done; setTimeout(done, 500) })"
    )
    await studio.open("/?workflow=house")
    await page.until("[...document.querySelectorAll('[role=tab]')].some((one) => one.innerText.startsWith('house'))")
    await page.click("header button", "Menu")
    await page.click("[role=menuitem]", "Versions")
    await page.until("document.querySelectorAll('[role=dialog] li').length > 1")
    rows = "[...document.querySelectorAll('[role=dialog] li')]"
    await page.value(f"{rows}.find((one) => one.innerText.includes('Version 1')).querySelector('button').click()")
    await page.until("document.querySelector('section[aria-label^=Comparison]')?.innerText.includes('1 changed')")
    await page.click("section button", "List")
    await page.until("document.querySelector('section li')?.innerText.includes('steps: 20 → 3')")
    await page.click("section button", "Restore")
    await page.until("!document.querySelector('section[aria-label^=Comparison]')")


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_tools_around_the_graph_do_what_they_say(tmp_path: Path) -> None:
    house = text_to_image()
    changed = copy.deepcopy(house)
    next(node for node in changed["nodes"] if node["type"] == "KSampler")["widgets_values"][2] = 3
    async with open_studio(tmp_path) as studio:
        await studio.put("house", house)
        await subgraphs_and_clipboard(studio)
        await outline_by_keyboard(studio)
        await blueprint(studio)
        await grid(studio)
        await form(studio)
        await versions(studio, changed)
        assert studio.page.complaints == []
