"""/folders: pictures of the working folders, small enough for a list to show many."""

from __future__ import annotations

import asyncio
import os
from typing import BinaryIO

from aiohttp import web

from engine.core.containment import open_inside
from engine.core.errors import NotFoundError
from engine.server.file_replies import data_reply
from engine.server.operations import Call, Operation, Parameter, Reply
from engine.server.routes.schemas import ref
from engine.server.services import Services

__all__ = ["OPERATIONS"]


async def get_file_thumbnail(call: Call) -> web.StreamResponse:
    """A picture of the input, output or temp folder, small, as WebP."""
    folder, name = call.params["folder"], call.params["name"]
    stream = await asyncio.to_thread(_open, call.services, folder, name)
    facts = os.fstat(stream.fileno())
    key = f"{folder}/{name} {facts.st_size} {facts.st_mtime_ns}"
    data = await call.services.thumbnails.make(stream, key, call.params["size"])
    return data_reply(data, f"{name.rpartition('/')[2]}.webp", cache="private, max-age=60")


def _open(services: Services, folder: str, name: str) -> BinaryIO:
    try:
        return open_inside(services.settings.folders.root(folder), name)
    except OSError:
        raise NotFoundError(f"There is no file {name[:200]!r}.") from None


OPERATIONS = (
    Operation(
        "GET", "/folders/{folder}/{name}/thumbnail", get_file_thumbnail, "A small picture of a file", tags=("assets",),
        parameters=(
            Parameter("folder", {"type": "string", "enum": ["input", "output", "temp"]}, "Working folder.", "path"),
            Parameter("name", {"type": "string", "maxLength": 1024}, "Name (%2F in it).", "path"),
            Parameter("size", {"type": "integer", "minimum": 1, "maximum": 1024}, "Longest side, px.", default=256),
        ),
        replies={
            200: Reply("WebP.", None, "image/webp"),
            404: Reply("There is no such file.", ref("Error")),
            413: Reply("The picture has too many pixels.", ref("Error")),
            422: Reply("The file is no picture.", ref("Error")),
        },
    ),
)  # fmt: skip
