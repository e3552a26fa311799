"""Kill -9 of the server while people edit and while a job runs, and of the page itself: nothing is lost."""

from __future__ import annotations

import signal

import aiohttp
import pytest

from tests.processes.victim import Victim
from tests.web.browser import Page, find_chromium, open_page
from tests.web.toys import editor_folder, open_workflow, run_card, toy_node, toy_workflow, until_ready

BANNER = "[...document.querySelectorAll('[role=alert]')].some((item) => item.innerText.includes('cannot be reached'))"
FIELDS = "[...document.querySelectorAll('.node .field-number')].map((item) => item.value)"
ASSETS = "fetch('/api/v1/assets').then((reply) => reply.json()).then((found) => found.length)"
JOBS = "fetch('/api/v1/jobs').then((reply) => reply.json()).then((page) => page.jobs.map((job) => job.attempts))"
#: All that is kept of what is open.
KEPT = """new Promise((done) => {
  const opening = indexedDB.open("atelier");
  opening.onsuccess = () => {
    const asked = opening.result.transaction("drafts").objectStore("drafts").getAll();
    asked.onsuccess = () => {
      opening.result.close();
      done(asked.result.map((draft) => draft.text.replace(/\\s/g, "")).join());
    };
  };
})"""


async def set_seconds(page: Page, value: str) -> None:
    """Type into the last number of the only node; a click selects what is there."""
    await page.click(".node .field-number", "seconds")
    await page.type(value)
    await page.key("Enter")
    await page.until(f"{FIELDS}.at(-1) === {value!r}")


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_killed_server_and_a_crashed_page_lose_nothing(tmp_path):
    editor_folder()
    async with (
        aiohttp.ClientSession() as session,
        Victim(tmp_path, "editor") as victim,
        open_page(find_chromium() or "", tmp_path / "browser") as page,
    ):
        await victim.start(session)
        await until_ready(page, victim.url)
        await open_workflow(page, toy_workflow(toy_node(1, "Paint", ["a boat", 4, 1.0])))

        await victim.end(signal.SIGKILL)
        await set_seconds(page, "3")
        await page.until(BANNER)
        await victim.start(session)
        await page.until(f"!({BANNER})")
        await page.until(f"{FIELDS}.join() === '4,3'")

        await page.click("header button", "Run")
        await page.until("document.querySelector('.node-preview img')?.naturalWidth === 64")
        await victim.end(signal.SIGKILL)
        await page.until(BANNER)
        await victim.start(session)
        await run_card(page, "Done")
        await page.until("document.querySelector('.outputs img')?.naturalWidth === 64")
        await page.until(f"!({BANNER})")
        assert (await page.value(ASSETS), await page.value(JOBS)) == (1, [2])

        await set_seconds(page, "2")
        await page.until("document.querySelector('[role=tab]').innerText.includes('●')")
        await page.until(f"{KEPT}.then((texts) => texts.includes(',2]'))")
        await page.crash()
        await until_ready(page, victim.url)
        await page.until(f"{FIELDS}.join() === '4,2'")

        # No moment to rest after the last change: it is kept while the page goes.
        await set_seconds(page, "5")
        await page.reload()
        await page.until(f"{FIELDS}.join() === '4,5'")
        await set_seconds(page, "6")
        await until_ready(page, victim.url)
        await page.until(f"{FIELDS}.join() === '4,6'")
