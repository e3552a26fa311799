"""The way of somebody new, in a real Chromium on a real server: template, prompt, picture, seed, history, graph."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from engine.command.editor import ensure_editor
from tests.own_port import own_port
from tests.web.browser import Page, find_chromium, open_page
from tests.web.screens import choose_in_palette, open_palette
from tests.web.toys import READY

ROOT = Path(__file__).resolve().parents[2]
PROMPT = "a <b>small</b> boat & its <img src=x onerror=alert(1)> shadow"
DONE = """document.querySelector('section[aria-label="Last run"]')?.innerText.includes("Done")
  && document.querySelector('section[aria-label="Last run"] img')?.naturalWidth > 0"""
START_S = 300.0
RUN_S = 300.0


@pytest.fixture(scope="module")
def chromium() -> str:
    program = find_chromium()
    if program is None:
        pytest.skip("Chromium is not installed")
    if ensure_editor(ROOT) is None:
        pytest.skip("the editor cannot be built here")
    return program


@pytest.fixture
def address(chromium: str, tmp_path: Path) -> Iterator[str]:
    port = own_port()
    command = (sys.executable, str(ROOT / "main.py"), "serve", "--cpu", "--port", str(port))
    environment = {**os.environ, "ATELIER_SYSTEM_PYTHON": "1"}
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen(
            (*command, "--base-directory", str(tmp_path / "base")), env=environment, stdout=log, stderr=log
        )
        yield f"http://127.0.0.1:{port}"
        server.terminate()
        server.wait(120)


async def open_when_there(page: Page, address: str) -> None:
    """The address as soon as the server answers; its node types come later, and are asked for until they do."""
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        with suppress(RuntimeError):
            await page.go(address)
            await page.until(READY, START_S)
            page.complaints.clear()
            return
        await asyncio.sleep(0.2)
    raise TimeoutError("the server did not start")


async def select(page: Page, title: str) -> None:
    """Select a node by its name, with the keyboard: the palette lists the nodes of the graph."""
    await open_palette(page)
    await choose_in_palette(page, title)
    await page.until(f"document.getElementById('node-title')?.placeholder.startsWith({title!r})")


async def write(page: Page, label: str, text: str) -> None:
    """Replace the value of a field of the properties."""
    field = f"[...document.querySelectorAll('aside label')].find((item) => item.textContent === {label!r}).control"
    await page.until(f"({field}.focus(), {field}.select(), document.activeElement === {field})")
    await page.type(text)
    await page.until(f"{field}.value === {text!r}")


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_from_a_template_to_a_picture_and_back_to_its_graph(chromium: str, address: str, tmp_path: Path) -> None:
    async with open_page(chromium, tmp_path / "browser") as page:
        await open_when_there(page, address)
        await page.click("nav button", "Workflows")
        await page.click("aside button", "Text to image")
        await page.until(
            "[...document.querySelectorAll('[role=tab]')].some((tab) => tab.innerText === 'Text to image')"
        )

        await select(page, "Prompt")
        await write(page, "text", PROMPT)
        await select(page, "Sampler")
        await write(page, "steps", "2")
        await write(page, "seed", "7")
        await page.click("header button", "Run")
        await page.until(DONE, RUN_S)

        await write(page, "seed", "8")
        await page.click("nav button", "Queue")
        await page.click("header button", "Run")
        rows = "[...document.querySelectorAll('ol li')].map((row) => row.innerText)"
        await page.until(f"{rows}.filter((row) => row.includes('Done')).length === 2", RUN_S)
        await page.until(f"{rows}.every((row) => row.includes(' cached'))")
        newest, oldest = await page.value(rows)
        assert "#1" in oldest
        assert " 0 cached" in oldest
        assert " 0 cached" not in newest, "a new seed does not need the words to be read again"

        await page.click("nav button", "Gallery")
        await page.until("document.querySelectorAll('aside button img').length === 2")
        await page.click("aside button", "text_to_image_00001")
        await page.click("[role=dialog] button", "Open the graph")
        await page.until("document.querySelectorAll('[role=tab]').length === 2")
        await select(page, "Prompt")
        await page.until(f"[...document.querySelectorAll('aside textarea')].some((item) => item.value === {PROMPT!r})")

        await page.reload()
        await page.until("document.querySelectorAll('[role=tab]').length === 2")
        assert page.complaints == []
