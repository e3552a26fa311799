"""The ways to the screens of the editor: panels, the menu and its windows, the palette, and back to the graph."""

from __future__ import annotations

import json

from tests.web.browser import Page

__all__ = [
    "PANELS",
    "WINDOWS",
    "choose_in_menu",
    "choose_in_palette",
    "close_window",
    "focus_graph",
    "open_menu",
    "open_palette",
    "open_panel",
]

PANELS = ("Nodes", "Workflows", "Outline", "Form", "Models", "Queue", "Gallery")
WINDOWS = ("Save as", "Versions", "XY grid", "Settings")
GRAPH_HAS_KEYBOARD = """(async () => {
  const graph = document.getElementById("graph");
  if (graph === null || document.querySelector("[role=dialog], [role=alertdialog], [role=menu]") !== null) return false;
  graph.focus();
  for (let left = 2; left > 0; left--) await new Promise(requestAnimationFrame);
  return document.activeElement === graph;
})()"""


async def focus_graph(page: Page) -> None:
    """Give the keyboard to the graph, once no window keeps it or gives it back to somebody else."""
    await page.until(GRAPH_HAS_KEYBOARD)


async def open_panel(page: Page, name: str) -> None:
    """Show a panel at the side."""
    await page.click("nav button", name)
    await page.until(f"document.querySelector('aside h2')?.innerText === {name!r}")


async def open_menu(page: Page) -> None:
    """Open the menu of the page."""
    await page.click("header button", "Menu")
    await page.until("!!document.querySelector('[role=menuitem]')")


async def choose_in_menu(page: Page, name: str) -> None:
    """Open a window from the open menu."""
    await page.click("[role=menuitem]", name)
    await page.until("!!document.querySelector('[role=dialog]')")


async def close_window(page: Page) -> None:
    """Close the open window with the keyboard."""
    await page.key("Escape")
    await page.until("!document.querySelector('[role=dialog]')")


async def open_palette(page: Page) -> None:
    """Show the palette."""
    await page.key("k", 2)
    await page.until("!!document.querySelector('[cmdk-input]')")


async def choose_in_palette(page: Page, text: str) -> None:
    """The first entry of the open palette for a text; it is the one that holds the text."""
    await page.type(text)
    chosen = "document.querySelector('[cmdk-item][data-selected=true]')"
    await page.until(f"{chosen}?.textContent.includes({json.dumps(text)})")
    await page.key("Enter")
    await page.until("!document.querySelector('[cmdk-input]')")
