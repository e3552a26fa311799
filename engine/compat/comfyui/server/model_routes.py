"""/models, /embeddings, /experiment/models."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

from aiohttp import web

from engine.compat.comfyui.server.requests import SERVICES, Handler, say
from engine.core.containment import resolve_inside
from engine.core.errors import AtelierError, NotFoundError
from engine.core.folders import Folders
from engine.server.model_files import PICTURE_SUFFIXES
from engine.server.thumbnails import open_picture

__all__ = ["ROUTES"]

_HIDDEN_FOLDERS = ("configs", "custom_nodes")


def _folders(request: web.Request) -> Folders:
    return request.app[SERVICES].settings.folders


async def list_folders(request: web.Request) -> web.Response:
    """The model folder keys."""
    return say(list(_folders(request).models))


async def list_models(request: web.Request) -> web.Response:
    """The files of a folder key."""
    return say(await asyncio.to_thread(_folders(request).model_names, request.match_info["folder"]))


async def list_embeddings(request: web.Request) -> web.Response:
    """Names of embeddings without extension."""
    names = await asyncio.to_thread(_folders(request).model_names, "embeddings")
    return say([name.rpartition(".")[0] if "." in name.rpartition("/")[2] else name for name in names])


async def list_folders_with_paths(request: web.Request) -> web.Response:
    """The model folder keys with their search folders."""
    models = _folders(request).models
    found = [
        {"name": name, "folders": [str(path) for path in folder.paths]}
        for name, folder in models.items()
        if name not in _HIDDEN_FOLDERS
    ]
    return say(found)


async def list_model_files(request: web.Request) -> web.Response:
    """The files of a folder key with sizes and times."""
    name = request.match_info["folder"]
    if name in _HIDDEN_FOLDERS:
        raise NotFoundError(f"There is no model folder {name!r}.")
    return say(await asyncio.to_thread(_files, _folders(request), name))


def _files(folders: Folders, kind: str) -> list[dict[str, Any]]:
    found = []
    for name in folders.model_names(kind):
        for index, root in enumerate(folders.models[kind].paths):
            path = root / name
            if path.is_file():
                facts = path.stat()
                found.append(
                    {
                        "name": name,
                        "pathIndex": index,
                        "modified": facts.st_mtime,
                        "created": facts.st_ctime,
                        "size": facts.st_size,
                    }
                )
                break
    return found


async def preview_model(request: web.Request) -> web.Response:
    """The picture beside a model file, as WebP."""
    info = request.match_info
    folder = _folders(request).models.get(info["folder"])
    index = int(info["index"])
    if folder is None or index >= len(folder.paths):
        raise NotFoundError("There is no such model folder.")
    try:
        data = await asyncio.to_thread(_preview, folder.paths[index], info["path"])
    except AtelierError:
        data = None
    if data is None:
        raise NotFoundError("There is no picture of this model.")
    return web.Response(body=data, content_type="image/webp")


def _preview(root: Path, name: str) -> bytes | None:
    stem = name.rpartition(".")[0] or name
    for suffix in PICTURE_SUFFIXES:
        path = resolve_inside(root, stem + suffix)
        if path.is_file():
            with path.open("rb") as stream:
                picture = open_picture(stream)
                buffer = io.BytesIO()
                picture.convert("RGBA" if "A" in picture.getbands() else "RGB").save(buffer, format="WEBP")
                return buffer.getvalue()
    return None


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/models", list_folders),
    ("GET", "/models/{folder}", list_models),
    ("GET", "/embeddings", list_embeddings),
    ("GET", "/experiment/models", list_folders_with_paths),
    ("GET", "/experiment/models/{folder}", list_model_files),
    ("GET", r"/experiment/models/preview/{folder}/{index:\d{1,4}}/{path:.+}", preview_model),
)
