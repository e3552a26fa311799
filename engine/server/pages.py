"""What a browser gets at /: the built editor, the one given by --front-end-root, or a plain status page."""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from aiohttp import web

from engine.core.containment import open_inside
from engine.core.errors import ContainmentError
from engine.core.settings import Settings

__all__ = ["EDITOR_PAGES", "add_pages"]

EDITOR_PAGES = "editor_pages"
"""Name of the route that takes every path which is left, for whoever goes before it."""

_Handler = Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]
_STATUS_PAGE = Path(__file__).parent / "status_page"
_STATUS_FILES = {"/status": "index.html", "/status.css": "status.css", "/status.js": "status.js"}
_FALLBACK_TYPE = "application/octet-stream"
_ALWAYS_ASK = "no-cache"
_FOR_EVER = "public, max-age=31536000, immutable"
_TYPES = {
    ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css",
    ".json": "application/json", ".svg": "image/svg+xml", ".woff2": "font/woff2", ".wasm": "application/wasm",
    ".map": "application/json", ".webmanifest": "application/manifest+json",
}  # fmt: skip


def add_pages(app: web.Application, settings: Settings) -> None:
    """Mount the pages; call it last, for a given front end takes every path that is left."""
    root = settings.front_end_root
    if root is not None:
        app.router.add_get("/", _file_handler(root, "index.html"))
        app.router.add_get("/{name:.+}", _file_handler(root, None), name=EDITOR_PAGES)
        return
    for path, name in _STATUS_FILES.items():
        app.router.add_get(path, _file_handler(_STATUS_PAGE, name))
    if settings.editor_root is None:
        app.router.add_get("/", _file_handler(_STATUS_PAGE, "index.html"))
    else:
        _add_editor(app, settings.editor_root)


def _add_editor(app: web.Application, root: Path) -> None:
    """The page is asked for at every visit; what it names carries its digest in its name and is kept for ever."""
    app.router.add_get("/", _file_handler(root, "index.html"))
    app.router.add_get("/favicon.svg", _file_handler(root, "favicon.svg"))
    app.router.add_get("/static/{name:.+}", _file_handler(root / "static", None, cache=_FOR_EVER))


def _file_handler(root: Path, fixed: str | None, cache: str = _ALWAYS_ASK) -> _Handler:
    async def send_page(request: web.Request) -> web.StreamResponse:
        name = fixed if fixed is not None else request.match_info["name"]
        takes_gzip = "gzip" in request.headers.get("Accept-Encoding", "").lower()
        try:
            data, is_packed = await asyncio.to_thread(_read, root, name, takes_gzip)
        except (ContainmentError, FileNotFoundError):
            raise web.HTTPNotFound from None
        kind = _TYPES.get(Path(name).suffix.lower()) or mimetypes.guess_type(name)[0] or _FALLBACK_TYPE
        charset = "utf-8" if kind.startswith("text/") or kind == "application/json" else None
        headers = {"Cache-Control": cache, "Vary": "Accept-Encoding"}
        if is_packed:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=data, content_type=kind, charset=charset, headers=headers)

    return send_page


def _read(root: Path, name: str, takes_gzip: bool) -> tuple[bytes, bool]:
    """The bytes of a file, or of the packed one beside it; and whether they are packed."""
    if takes_gzip:
        try:
            with open_inside(root, f"{name}.gz") as stream:
                return stream.read(), True
        except (ContainmentError, FileNotFoundError):
            pass
    with open_inside(root, name) as stream:
        return stream.read(), False
