"""The field's published templates, one after another in one page that knows their node types: it never complains."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.published_templates import published_templates, templates_folder
from tests.reference_catalog import reference_catalog
from tests.server_harness import FAKE_WORKER, running, settings_in
from tests.web.browser import Page, find_chromium, open_page
from tests.web.toys import editor_folder, until_ready

NUM_SAMPLED = 12
TAB = "document.querySelector('[role=tab][aria-selected=true]')"
ALERTS = "[...document.querySelectorAll('[role=alert]')].map((item) => item.innerText)"
LOOK = """(async () => {
  const frames = (count) => new Promise((done) => {
    const next = (left) => (left === 0 ? done() : requestAnimationFrame(() => next(left - 1)));
    next(count);
  });
  const graph = document.getElementById("graph");
  const press = (init) => graph.dispatchEvent(new KeyboardEvent("keydown", { bubbles: true, ...init }));
  graph.focus();
  for (let i = 0; i < 5; i++) press({ key: "=", altKey: true });
  await frames(6);
  press({ key: "." });
  await frames(3);
})()"""


def one_of_each_family() -> list[str]:
    """The largest template of each of the families with the most; a family is the first part of a file's name."""
    families: dict[str, list[str]] = {}
    for name in published_templates():
        families.setdefault(name.replace("-", "_").split("_")[0].lower(), []).append(name)
    most = sorted(families.values(), key=len, reverse=True)[:NUM_SAMPLED]
    return [max(names, key=lambda name: len(json.dumps(published_templates()[name]))) for names in most]


async def opened(page: Page, name: str) -> list[str]:
    """What the page says about a template: faults shown to people, and complaints of scripts and the browser."""
    text = json.dumps(json.dumps(published_templates()[name]))
    await page.value(f"""(() => {{
      const files = new DataTransfer();
      files.items.add(new File([{text}], {json.dumps(name)}, {{ type: "application/json" }}));
      const drop = new DragEvent("drop", {{ dataTransfer: files, bubbles: true, cancelable: true }});
      document.querySelector("main").dispatchEvent(drop);
    }})()""")
    title = json.dumps(Path(name).with_suffix("").name)
    await page.until(f"{TAB}?.innerText.trim() === {title} || {ALERTS}.length > 0")
    await page.value(LOOK)
    found = [*await page.value(ALERTS), *page.complaints]
    page.complaints.clear()
    await page.value(f"{TAB}.dispatchEvent(new KeyboardEvent('keydown', {{ key: 'Delete', bubbles: true }}))")
    await page.until(f"{TAB}?.innerText.trim() !== {title}")
    return found


async def open_all(folder: Path, names: Iterable[str]) -> dict[str, list[str]]:
    """What there was to complain about, by template."""
    worker = (*FAKE_WORKER, *reference_catalog())
    async with (
        running(settings_in(folder, editor_root=editor_folder()), worker) as server,
        open_page(find_chromium() or "", folder / "browser") as page,
    ):
        await until_ready(page, server.url)
        found = {name: await opened(page, name) for name in names}
    return {name: complaints for name, complaints in found.items() if complaints}


@pytest.fixture(autouse=True)
def package() -> None:
    if templates_folder() is None:
        pytest.skip("the package of published templates is not installed")


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_one_published_template_of_each_family_opens_without_a_complaint(tmp_path):
    assert await open_all(tmp_path, one_of_each_family()) == {}


@pytest.mark.thorough
@pytest.mark.timeout(3600)
async def test_every_published_template_opens_without_a_complaint(tmp_path):
    assert len(published_templates()) > 600
    assert await open_all(tmp_path, published_templates()) == {}
