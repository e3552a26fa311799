"""The editor in a real Chromium on a server over the fake worker: nothing is computed, so a test takes seconds."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.command.editor import ensure_editor
from tests.server_harness import ROOT, Server, running, settings_in
from tests.web.browser import Page, find_chromium, open_page

__all__ = [
    "READY",
    "CANVAS",
    "editor_folder",
    "open_workflow",
    "run_card",
    "toy_node",
    "toy_page",
    "toy_workflow",
    "until_ready",
]

READY = """document.getElementById("root")?.ariaBusy === "false"
  && [...document.querySelectorAll("button")].some((item) => item.innerText.trim() === "Run" && !item.disabled)"""
CARD = "document.querySelector('section[aria-label=\"Last run\"]')"
CANVAS = "document.getElementById('graph')"


def editor_folder() -> Path:
    """The built editor; skips the test where there is none, or no browser."""
    if find_chromium() is None:
        pytest.skip("Chromium is not installed")
    built = ensure_editor(ROOT)
    if built is None:
        pytest.skip("the editor cannot be built here")
    return built


@asynccontextmanager
async def toy_page(folder: Path, width: int = 1280, height: int = 800) -> AsyncIterator[tuple[Server, Page]]:
    """A server with the toys and a page that shows its editor, ready to run."""
    settings = settings_in(folder, editor_root=editor_folder())
    async with running(settings) as server, open_page(find_chromium() or "", folder / "browser", width, height) as page:
        await until_ready(page, server.url)
        yield server, page


async def until_ready(page: Page, address: str) -> None:
    """Open the editor; returns when it has its node types and the tabs it had before."""
    await page.go(address)
    await page.until(READY)


def toy_node(number: int, kind: str, values: list[Any], x: int = 0, y: int = 0) -> dict[str, Any]:
    """A node of a workflow file."""
    return {
        "id": number, "type": kind, "pos": [x, y], "size": [300, 200], "mode": 0, "flags": {}, "order": number,
        "inputs": [], "outputs": [{"name": "text", "type": "TEXT", "links": None}], "properties": {},
        "widgets_values": values,
    }  # fmt: skip


def toy_workflow(*nodes: dict[str, Any]) -> dict[str, Any]:
    """A workflow file of these nodes."""
    return {"version": 0.4, "last_node_id": 99, "last_link_id": 0, "nodes": list(nodes), "links": [], "groups": []}


async def open_workflow(page: Page, workflow: dict[str, Any], name: str = "toys") -> None:
    """Drop a file on the page."""
    text, file = json.dumps(json.dumps(workflow)), json.dumps(f"{name}.json")
    await page.value(f"""(() => {{
      const files = new DataTransfer();
      files.items.add(new File([{text}], {file}, {{ type: "application/json" }}));
      const drop = new DragEvent("drop", {{ dataTransfer: files, bubbles: true, cancelable: true }});
      document.querySelector("main").dispatchEvent(drop);
    }})()""")
    await page.until(f"document.querySelectorAll('.node').length >= {min(1, len(workflow['nodes']))}")


async def run_card(page: Page, text: str, seconds: float = 90.0) -> None:
    """Wait until the card of the last run says this."""
    await page.until(f"{CARD}?.innerText.includes({json.dumps(text)})", seconds)
