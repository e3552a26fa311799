"""What a browser gets at /: the editor given by --front-end-root, or a plain status page."""

from __future__ import annotations

import asyncio
import mimetypes
from pathlib import Path

from aiohttp import web

from engine.core.containment import open_inside
from engine.core.errors import ContainmentError
from engine.core.settings import Settings

__all__ = ["EDITOR_PAGES", "add_pages"]

EDITOR_PAGES = "editor_pages"
"""Name of the route that takes every path which is left, for whoever goes before it."""

_STATUS_PAGE = Path(__file__).parent / "status_page"
_STATUS_FILES = {"/": "index.html", "/status.css": "status.css", "/status.js": "status.js"}
_FALLBACK_TYPE = "application/octet-stream"
_TYPES = {
    ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css",
    ".json": "application/json", ".svg": "image/svg+xml", ".woff2": "font/woff2", ".wasm": "application/wasm",
    ".map": "application/json",
}  # fmt: skip


def add_pages(app: web.Application, settings: Settings) -> None:
    """Mount the pages; call it last, for the editor takes every path that is left."""
    root = settings.front_end_root
    if root is None:
        for path, name in _STATUS_FILES.items():
            app.router.add_get(path, _file_handler(_STATUS_PAGE, name))
    else:
        app.router.add_get("/", _file_handler(root, "index.html"))
        app.router.add_get("/{name:.+}", _file_handler(root, None), name=EDITOR_PAGES)


def _file_handler(root: Path, fixed: str | None):
    async def send_page(request: web.Request) -> web.StreamResponse:
        name = fixed if fixed is not None else request.match_info["name"]
        try:
            data = await asyncio.to_thread(_read, root, name)
        except (ContainmentError, FileNotFoundError):
            raise web.HTTPNotFound from None
        kind = _TYPES.get(Path(name).suffix.lower()) or mimetypes.guess_type(name)[0] or _FALLBACK_TYPE
        charset = "utf-8" if kind.startswith("text/") or kind == "application/json" else None
        return web.Response(body=data, content_type=kind, charset=charset, headers={"Cache-Control": "no-cache"})

    return send_page


def _read(root: Path, name: str) -> bytes:
    with open_inside(root, name) as stream:
        return stream.read()
