"""A page of a real Chromium on a real server with the painting worker: the editor's screens within seconds."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.server_harness import Server, running, settings_in
from tests.web.browser import Page, find_chromium, open_page
from tests.web.toys import editor_folder, until_ready

__all__ = ["ROOT", "Studio", "open_studio", "text_to_image"]

ROOT = Path(__file__).resolve().parents[2]
_WORKER = (sys.executable, "-m", "tests.web.painting_worker")


@dataclass(frozen=True, slots=True)
class Studio:
    """A page with the editor, and the server behind it."""

    page: Page
    server: Server

    async def open(self, path: str = "/") -> None:
        """Open an address of the server and wait for its node types, and for what was open before."""
        await until_ready(self.page, self.server.url + path)

    async def put(self, name: str, workflow: dict[str, Any]) -> None:
        """Save a workflow on the server, as a new version where there is one."""
        found = await self.server.session.get(f"{self.server.url}/api/v1/workflows/{name}")
        header = {"If-Match": found.headers["ETag"]} if found.status == 200 else {"If-None-Match": "*"}
        status, answer = await self.server.call("PUT", f"/workflows/{name}", json=workflow, headers=header)
        assert status in (200, 201), answer


@contextlib.asynccontextmanager
async def open_studio(folder: Path, width: int = 1280, height: int = 800) -> AsyncIterator[Studio]:
    """Skips where there is no Chromium or the editor cannot be built."""
    built = editor_folder()
    base = folder / "base"
    (base / "models" / "checkpoints").mkdir(parents=True)
    (base / "models" / "checkpoints" / "starter.safetensors").write_bytes(b"not read by the painting worker")
    async with (
        running(settings_in(base, editor_root=built), _WORKER) as server,
        open_page(find_chromium() or "", folder / "browser", width, height) as page,
    ):
        yield Studio(page, server)


def text_to_image(num_steps: int | None = None) -> dict[str, Any]:
    """The template without what the painting worker does not know, with a form of its own."""
    workflow: dict[str, Any] = json.loads((ROOT / "workflows" / "text_to_image.json").read_text(encoding="utf-8"))
    for node in workflow["nodes"]:
        if node["type"] == "Watermark":
            node.update(type="Reroute", mode=0, inputs=node["inputs"][:1], widgets_values=[])
        if node["type"] == "KSampler" and num_steps is not None:
            node["widgets_values"][2] = num_steps
    fields = [{"node": "3", "widget": "text"}, {"node": "6", "widget": "steps", "min": 1, "max": 30}]
    workflow.setdefault("extra", {})["atelier_form"] = {"title": "A house", "fields": fields, "outputs": ["8"]}
    return workflow
