"""/object_info, /extensions, /workflow_templates, /i18n: what nodes and packs there are."""

from __future__ import annotations

import asyncio
import gzip
import json
import mimetypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiohttp import web

from engine.compat.comfyui.server.requests import SERVICES, Handler, json_text, say
from engine.core.containment import open_inside, resolve_inside
from engine.core.digest import digest_value
from engine.core.errors import ContainmentError, NotFoundError
from engine.graph.schema import FileChoices
from engine.protocol.messages import PackReport
from engine.server.failures import NotReady
from engine.server.services import Services

__all__ = ["API_ROUTES", "CATALOG_TEXT", "ROUTES", "STATIC_ROUTES", "CatalogText"]

_CATALOG_WAIT_S = 30.0
_TEMPLATE_FOLDERS = ("example_workflows", "example", "examples", "workflow", "workflows")
_LOCALE_FILES = {"nodeDefs.json": "nodeDefs", "commands.json": "commands", "settings.json": "settings"}
_SCRIPT_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".json": "application/json"}
_MAX_LOCALE_BYTES = 8 << 20


class CatalogText:
    """The text of /object_info, made again only when the nodes or the files they list have changed."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = asyncio.Lock()
        self._key = ""
        self._text = b""
        self._packed = b""

    async def get(self, *, packed: bool) -> tuple[bytes, str]:
        """(JSON text, gzip when `packed`; its entity tag)."""
        async with self._lock:
            await asyncio.to_thread(self._refresh)
            return (self._packed if packed else self._text), f'"{self._key}"'

    def _refresh(self) -> None:
        catalog = self._services.catalog
        lister = catalog.lister.remembering()
        listed = {_choice_name(choices): lister(choices) for choices in self._file_choices()}
        key = digest_value([catalog.digest, listed])
        if key != self._key:
            self._text = json.dumps(catalog.object_info()).encode()
            self._packed = gzip.compress(self._text, compresslevel=5, mtime=0)
            self._key = key

    def _file_choices(self) -> set[FileChoices]:
        catalog = self._services.catalog.current
        return {
            item.choices for name in catalog for item in catalog[name].inputs if isinstance(item.choices, FileChoices)
        }


CATALOG_TEXT: web.AppKey[CatalogText] = web.AppKey("comfyui_catalog_text", CatalogText)


def _choice_name(choices: FileChoices) -> str:
    return json.dumps([choices.folder, choices.media, choices.also])


async def _wait_for_catalog(services: Services) -> None:
    if not services.catalog.is_known and not await services.catalog.wait(_CATALOG_WAIT_S):
        raise NotReady("No worker has said yet which nodes there are.", hint="Try again in a moment.")


async def get_object_info(request: web.Request) -> web.Response:
    """Every node type."""
    await _wait_for_catalog(request.app[SERVICES])
    packed = "gzip" in request.headers.get("Accept-Encoding", "")
    text, tag = await request.app[CATALOG_TEXT].get(packed=packed)
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if tag in (part.strip() for part in request.headers.get("If-None-Match", "").split(",")):
        return web.Response(status=304, headers=headers)
    if packed:
        headers["Content-Encoding"] = "gzip"
    return json_text(text, headers)


async def get_node_info(request: web.Request) -> web.Response:
    """One node type; {} when unknown."""
    services = request.app[SERVICES]
    await _wait_for_catalog(services)
    return say(await asyncio.to_thread(services.catalog.object_info, request.match_info["node_class"]))


# ------------------------------------------------------------------ packs


def _packs(services: Services) -> list[PackReport]:
    return [pack for pack in services.catalog.packs if pack.path and pack.name != "nodes"]


def _folder_name(pack: PackReport) -> str:
    return Path(pack.path).name


async def get_extensions(request: web.Request) -> web.Response:
    """Addresses of the packs' scripts."""
    return say(await asyncio.to_thread(lambda: list(_scripts(request.app[SERVICES]))))


def _scripts(services: Services) -> Iterator[str]:
    for pack in _packs(services):
        if pack.web_directory:
            root = Path(pack.web_directory)
            for path in sorted(root.rglob("*.js")):
                yield f"/extensions/{_folder_name(pack)}/{path.relative_to(root).as_posix()}"


async def get_extension_file(request: web.Request) -> web.StreamResponse:
    """A file of a pack's web folder."""
    name = request.match_info["pack"]
    for pack in _packs(request.app[SERVICES]):
        if pack.web_directory and name in (_folder_name(pack), pack.name):
            return await _send_pack_file(Path(pack.web_directory), request.match_info["path"])
    raise NotFoundError(f"There is no pack {name[:100]!r} with scripts.")


async def _send_pack_file(root: Path, name: str) -> web.Response:
    try:
        stream = open_inside(root, name)
    except FileNotFoundError:
        raise NotFoundError(f"There is no file {name[:200]!r}.") from None
    with stream:
        data = await asyncio.to_thread(stream.read)
    suffix = Path(name).suffix.lower()
    kind = _SCRIPT_TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    if kind in ("text/html", "application/xhtml+xml"):
        # Scripts of packs run in the editor's page anyway; whole pages of their own do not get this origin.
        kind = "application/octet-stream"
    headers = {"Content-Type": kind, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    if kind == "image/svg+xml":
        headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    return web.Response(body=data, headers=headers)


async def get_workflow_templates(request: web.Request) -> web.Response:
    """Names of the example workflows of packs, by pack folder."""
    return say(await asyncio.to_thread(_templates, request.app[SERVICES]))


def _templates(services: Services) -> dict[str, list[str]]:
    found = {}
    for pack in _packs(services):
        names = [path.stem for folder in _template_folders(pack) for path in sorted(folder.glob("*.json"))]
        if names:
            found[_folder_name(pack)] = names
    return found


def _template_folders(pack: PackReport) -> list[Path]:
    folders = [Path(pack.path) / name for name in _TEMPLATE_FOLDERS]
    return [folder for folder in folders if folder.is_dir()]


async def get_workflow_template(request: web.Request) -> web.StreamResponse:
    """An example workflow (or a picture beside it)."""
    name, file = request.match_info["pack"], request.match_info["path"]
    for pack in _packs(request.app[SERVICES]):
        if name == _folder_name(pack):
            for folder in _template_folders(pack):
                if resolve_inside(folder, file).is_file():
                    return await _send_pack_file(folder, file)
    raise NotFoundError(f"There is no workflow {file[:100]!r} in pack {name[:100]!r}.")


async def get_translations(request: web.Request) -> web.Response:
    """Translations of packs, merged per language."""
    return say(await asyncio.to_thread(_translations, request.app[SERVICES]))


def _translations(services: Services) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for pack in _packs(services):
        root = Path(pack.path) / "locales"
        if not root.is_dir():
            continue
        for language in sorted(path for path in root.iterdir() if path.is_dir()):
            for name, value in _locale(language).items():
                target = merged.setdefault(language.name, {})
                target[name] = {**target.get(name, {}), **value}
    return merged


def _locale(folder: Path) -> dict[str, Any]:
    """The parts of one language; `main.json` holds several at once."""
    found: dict[str, Any] = {}
    main = _read_object(folder, "main.json")
    found.update({name: value for name, value in main.items() if isinstance(value, dict)})
    for file, name in _LOCALE_FILES.items():
        value = _read_object(folder, file)
        if value:
            found[name] = {**found.get(name, {}), **value}
    return found


def _read_object(folder: Path, name: str) -> dict[str, Any]:
    try:
        with open_inside(folder, name) as stream:
            value = json.loads(stream.read(_MAX_LOCALE_BYTES))
    except (FileNotFoundError, ContainmentError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


async def get_subgraphs(request: web.Request) -> web.Response:
    """Ready-made subgraphs of packs by id; packs declare none in a form that is read here."""
    return say({})


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/object_info", get_object_info),
    ("GET", "/object_info/{node_class}", get_node_info),
    ("GET", "/extensions", get_extensions),
    ("GET", "/workflow_templates", get_workflow_templates),
    ("GET", "/i18n", get_translations),
    ("GET", "/global_subgraphs", get_subgraphs),
)
STATIC_ROUTES: tuple[tuple[str, str, Handler], ...] = (("GET", "/extensions/{pack}/{path:.+}", get_extension_file),)
API_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/api/workflow_templates/{pack}/{path:.+}", get_workflow_template),
)
