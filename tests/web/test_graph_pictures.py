"""Pictures of the graph in a real Chromium: what the menu exports opens again when it is dropped on the page."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from xml.dom import minidom

import pytest
from PIL import Image

from tests.web.studio import Studio, open_studio, text_to_image

KEEP = """(() => {
  window.kept = [];
  const blobs = new Map();
  const make = URL.createObjectURL;
  URL.createObjectURL = (blob) => { const url = make(blob); blobs.set(url, blob); return url; };
  HTMLAnchorElement.prototype.click = function () {
    const reader = new FileReader();
    reader.onload = () => window.kept.push([this.download, reader.result]);
    reader.readAsDataURL(blobs.get(this.href));
  };
})()"""
DROP = """(([name, data]) => {
  const bytes = Uint8Array.from(atob(data.split(",")[1]), (letter) => letter.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], name));
  const drop = new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true });
  document.querySelector("main").dispatchEvent(drop);
})"""
TABS = "[...document.querySelectorAll('[role=tab]')].map((tab) => tab.innerText.trim())"


async def exported(studio: Studio, kind: str) -> list[str]:
    await studio.page.click("header button", "Menu")
    await studio.page.click("[role=menuitem]", kind)
    await studio.page.until("window.kept.length === 1")
    return list(await studio.page.value("window.kept.pop()"))


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_picture_of_the_graph_opens_as_the_workflow(tmp_path: Path) -> None:
    workflow = text_to_image()
    async with open_studio(tmp_path) as studio:
        page = studio.page
        await studio.put("house", workflow)
        await studio.open("/?workflow=house")
        await page.until(f"{TABS}.includes('house')")
        await page.value(KEEP)
        png, svg = await exported(studio, "PNG"), await exported(studio, "SVG")
        picture = Image.open(io.BytesIO(base64.b64decode(png[1].split(",")[1])))
        assert {node["id"] for node in json.loads(picture.info["workflow"])["nodes"]} == {
            node["id"] for node in workflow["nodes"]
        }
        colors = picture.convert("RGB").getcolors(maxcolors=1 << 24)
        assert colors is not None
        assert len(colors) > 50
        drawing = minidom.parseString(base64.b64decode(svg[1].split(",")[1]))
        words = {item.firstChild.data for item in drawing.getElementsByTagName("text") if item.firstChild}
        assert {"Sampler", "Negative prompt", "cfg"} <= words
        for number, (name, data) in enumerate((png, svg)):
            await page.value(f"{DROP}({json.dumps([f'again{number}{name[-4:]}', data])})")
            await page.until(f"{TABS}.at(-1) === 'again{number}' && document.querySelectorAll('.node').length > 4")
        assert page.complaints == []
