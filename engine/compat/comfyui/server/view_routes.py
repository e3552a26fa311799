"""/view and /view_metadata: files of the working folders and headers of weight files."""

from __future__ import annotations

import asyncio
import io
import json
import struct
from pathlib import Path
from typing import Any, BinaryIO

from aiohttp import web
from PIL import Image, ImageOps

from engine.compat.comfyui.server.requests import SERVICES, Handler, refusal, say
from engine.core.containment import open_inside
from engine.core.errors import ContainmentError, GraphError, NotFoundError, UploadRefused
from engine.core.folders import split_annotation
from engine.graph.embedded import read_texts
from engine.server.file_replies import content_disposition, file_reply
from engine.server.security import FILE_POLICY
from engine.server.services import Services
from engine.server.thumbnails import open_picture

__all__ = ["ROUTES"]

_PREVIEW_FORMATS = {"webp": "webp", "jpeg": "jpeg"}
_DEFAULT_QUALITY = 90
_MAX_HEADER_BYTES = 1 << 20
_MAX_PICTURE_BYTES = 256 << 20
_WORKING_FOLDERS = ("output", "input", "temp")


async def view(request: web.Request) -> web.StreamResponse:
    """A file of the output, input or temp folder: raw, re-encoded small, or one channel of it."""
    name = request.query.get("filename", "")
    name, kind = split_annotation(name, request.query.get("type", "output"))
    if not name or name.startswith("/") or ".." in name:
        return refusal(400, "bad_filename", "The file name is missing or leads elsewhere.")
    if kind not in _WORKING_FOLDERS:
        return refusal(400, "bad_type", f"There is no folder type {kind[:50]!r}.")
    filename = name.replace("\\", "/").rpartition("/")[2]
    subfolder = request.query.get("subfolder", "")
    stream = await asyncio.to_thread(_open, request.app[SERVICES], kind, subfolder, filename)
    channel, preview = request.query.get("channel", ""), request.query.get("preview")
    if preview is not None:
        return _picture_reply(*await asyncio.to_thread(_small, stream, preview, channel), filename)
    if channel in ("rgb", "a"):
        return _picture_reply(*await asyncio.to_thread(_channel, stream, channel), filename)
    return await file_reply(request, stream, filename)


def _open(services: Services, kind: str, subfolder: str, filename: str) -> BinaryIO:
    name = f"{subfolder}/{filename}" if subfolder else filename
    try:
        return open_inside(services.settings.folders.root(kind), name)
    except FileNotFoundError:
        raise NotFoundError(f"There is no file {filename[:200]!r}.") from None
    except (NotADirectoryError, IsADirectoryError):
        raise NotFoundError(f"There is no file {filename[:200]!r}.") from None


def _picture_reply(data: bytes, media_type: str, filename: str) -> web.Response:
    headers = {
        "Content-Type": media_type,
        "Content-Disposition": content_disposition(filename, inline=True),
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": FILE_POLICY,
    }
    return web.Response(body=data, headers=headers)


def _small(stream: BinaryIO, preview: str, channel: str) -> tuple[bytes, str]:
    """The picture re-encoded at full size: `webp` or `jpeg`, optionally `;quality`."""
    name, _, quality_text = preview.partition(";")
    quality = int(quality_text) if quality_text.isascii() and quality_text.isdigit() and len(quality_text) < 4 else None
    kind = _PREVIEW_FORMATS.get(name, "webp")
    if "a" in channel:
        kind = "webp"
    with stream:
        picture = _decoded(stream)
        buffer = io.BytesIO()
        has_alpha = kind == "webp" and "A" in picture.getbands()
        picture.convert("RGBA" if has_alpha else "RGB").save(
            buffer, format=kind, quality=min(100, quality) if quality is not None else _DEFAULT_QUALITY
        )
    return buffer.getvalue(), f"image/{kind}"


def _channel(stream: BinaryIO, channel: str) -> tuple[bytes, str]:
    """PNG without alpha ("rgb"), or black with the alpha of the source ("a")."""
    with stream:
        picture = _decoded(stream)
        if channel == "rgb":
            made = picture.convert("RGB")
        else:
            alpha = picture.convert("RGBA").getchannel("A")
            made = Image.new("RGBA", picture.size)
            made.putalpha(alpha)
        buffer = io.BytesIO()
        made.save(buffer, format="PNG")
    return buffer.getvalue(), "image/png"


def _decoded(stream: BinaryIO) -> Image.Image:
    """The first frame, upright palettes expanded. Raises MediaTooLarge, UploadRefused (bad_media)."""
    picture = open_picture(stream)
    try:
        picture.seek(0)
        picture.load()
        return picture.convert("RGBA") if picture.mode in ("P", "LA", "PA") else ImageOps.exif_transpose(picture)
    except Exception as error:
        raise UploadRefused("The picture is damaged.", code="bad_media") from error


# ------------------------------------------------------------------ weight files


async def view_metadata(request: web.Request) -> web.Response:
    """The metadata text entries of a safetensors file, or of a picture of the input, output or temp folder."""
    name = request.query.get("filename", "")
    if request.match_info["folder"] in _WORKING_FOLDERS:
        return say(await _picture_texts(request, name))
    if not name.endswith(".safetensors"):
        raise NotFoundError("Name a .safetensors file.")
    folders = request.app[SERVICES].settings.folders
    try:
        path = folders.model_path(request.match_info["folder"], name)
    except ContainmentError:
        raise NotFoundError(f"There is no file {name[:200]!r}.") from None
    metadata = await asyncio.to_thread(_metadata, path)
    if metadata is None:
        raise NotFoundError(f"{name[:200]!r} has no metadata.")
    return say(metadata)


async def _picture_texts(request: web.Request, name: str) -> dict[str, str]:
    """The texts a picture carries, by key: a graph as JSON text, the plain text as "parameters"; nothing is made up."""
    root = request.app[SERVICES].settings.folders.root(request.match_info["folder"])
    subfolder = request.query.get("subfolder", "")

    def read() -> dict[str, str] | None:
        with open_inside(root, f"{subfolder}/{name}" if subfolder else name) as stream:
            return read_texts(stream.read(_MAX_PICTURE_BYTES))[1]

    try:
        texts = await asyncio.to_thread(read)
    except (ContainmentError, GraphError, OSError):
        texts = None
    if not texts:
        raise NotFoundError(f"{name[:200]!r} has no metadata.")
    return texts


def _metadata(path: Path) -> dict[str, Any] | None:
    """`__metadata__` of a header of at most 1 MiB; None for anything else."""
    try:
        with path.open("rb") as stream:
            length = struct.unpack("<Q", stream.read(8))[0]
            if length > _MAX_HEADER_BYTES:
                return None
            header = json.loads(stream.read(length))
    except (OSError, struct.error, ValueError, RecursionError):
        return None
    found = header.get("__metadata__") if isinstance(header, dict) else None
    return found if isinstance(found, dict) else None


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/view", view),
    ("GET", "/view_metadata/{folder}", view_metadata),
)
