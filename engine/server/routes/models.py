"""/models: weight files by folder, identified by content."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from aiohttp import web

from engine.server.file_replies import data_reply
from engine.server.operations import Call, Operation, Parameter, Reply
from engine.server.replies import json_reply
from engine.server.routes.schemas import array_of, ref

__all__ = ["OPERATIONS"]

_FOLDER = Parameter("folder", {"type": "string", "maxLength": 100}, "Folder key, as checkpoints.", "path")


async def list_model_folders(call: Call) -> web.StreamResponse:
    """The folder keys."""
    return json_reply(call.services.models.folders())


async def list_models(call: Call) -> web.StreamResponse:
    """The files of a folder key, with the hashes known so far."""
    found = await asyncio.to_thread(call.services.models.list, call.params["folder"])
    return json_reply([asdict(file) for file in found])


async def hash_model(call: Call) -> web.StreamResponse:
    """One file with its SHA-256, computed if need be."""
    found = await asyncio.to_thread(call.services.models.hash, call.params["folder"], call.params["name"])
    return json_reply(asdict(found))


async def get_picture(call: Call) -> web.StreamResponse:
    """The picture beside a file, small, as WebP."""
    path = await asyncio.to_thread(call.services.models.picture, call.params["folder"], call.params["name"])
    facts = await asyncio.to_thread(path.stat)
    stream = await asyncio.to_thread(path.open, "rb")
    key = f"{path} {facts.st_size} {facts.st_mtime_ns}"
    data = await call.services.thumbnails.make(stream, key, call.params["size"])
    return data_reply(data, f"{path.stem}.webp", cache="private, max-age=300")


_TAGS = ("models",)
_NONE = Reply("There is no such folder or file.", ref("Error"))

OPERATIONS = (
    Operation(
        "GET", "/models", list_model_folders, "Model folder keys", tags=_TAGS,
        replies={200: Reply("Keys.", array_of({"type": "string"}))},
    ),
    Operation(
        "GET", "/models/{folder}", list_models, "Files of a model folder", parameters=(_FOLDER,), tags=_TAGS,
        replies={200: Reply("Files.", array_of(ref("ModelFile"))), 404: _NONE},
    ),
    Operation(
        "GET", "/models/{folder}/{name}", hash_model, "A model file with its content hash", tags=_TAGS,
        parameters=(_FOLDER, Parameter("name", {"type": "string", "maxLength": 1024}, "Name (%2F in it).", "path")),
        replies={200: Reply("The file.", ref("ModelFile")), 404: _NONE},
    ),
    Operation(
        "GET", "/models/{folder}/{name}/picture", get_picture, "The picture beside a model file", tags=_TAGS,
        parameters=(
            _FOLDER,
            Parameter("name", {"type": "string", "maxLength": 1024}, "Name (%2F in it).", "path"),
            Parameter("size", {"type": "integer", "minimum": 1, "maximum": 1024}, "Longest side, px.", default=256),
        ),
        replies={
            200: Reply("WebP.", None, "image/webp"),
            404: _NONE,
            413: Reply("The picture has too many pixels.", ref("Error")),
            422: Reply("The file is no picture.", ref("Error")),
        },
    ),
)  # fmt: skip
