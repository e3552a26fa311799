"""The text-to-image graph built and run from an empty canvas with the keyboard alone."""

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
SHOWN = "document.activeElement.selectedOptions[0].text"
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
        await page.until("document.querySelector('section[aria-label=\"Last run\"] img')?.naturalWidth > 0")
        assert page.complaints == []
