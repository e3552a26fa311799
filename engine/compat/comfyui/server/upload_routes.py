"""/upload/image and /upload/mask."""

from __future__ import annotations

import asyncio
import io
import json
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError
from PIL import Image, PngImagePlugin

from engine.compat.comfyui.server.requests import SERVICES, Handler, refusal, say
from engine.core.containment import open_inside
from engine.core.errors import ContainmentError, GraphError, NotFoundError, UploadRefused
from engine.core.folders import split_annotation
from engine.server.services import Services
from engine.server.thumbnails import open_picture

__all__ = ["ROUTES"]

_MAX_FIELD_BYTES = 64 << 10
_MAX_PARTS = 32
_CHUNK_BYTES = 256 << 10
_SPOOL_BYTES = 4 << 20


@dataclass(slots=True)
class _Form:
    """A form with at most one file; `file` holds it on disk when it is large."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str = ""
    file: BinaryIO | None = None

    def close(self) -> None:
        """Give up the file."""
        if self.file is not None:
            self.file.close()


async def _read_form(request: web.Request) -> _Form:
    """Read a multipart form with the upload limit applied as it arrives. Raises UploadRefused, GraphError."""
    limit = request.app[SERVICES].settings.max_upload_bytes
    if request.content_type != "multipart/form-data":
        raise GraphError("The body must be multipart/form-data.", code="bad_request")
    form = _Form()
    try:
        await _read_parts(await request.multipart(), form, limit)
    except (ValueError, AssertionError, LookupError, HttpProcessingError) as error:
        form.close()
        raise GraphError("The form cannot be read.", code="bad_request") from error
    except BaseException:
        form.close()
        raise
    return form


async def _read_parts(reader: MultipartReader, form: _Form, limit: int) -> None:
    for _ in range(_MAX_PARTS):
        part = await reader.next()
        if part is None:
            return
        if not isinstance(part, BodyPartReader) or part.name is None:
            raise GraphError("The form is nested or has a part without a name.", code="bad_request")
        if part.filename is None:
            form.fields[part.name] = await _text(part)
        elif part.name == "image" and form.file is None:
            form.filename, form.file = part.filename, await _spool(part, limit)
    raise GraphError("The form has too many parts.", code="bad_request")


async def _text(part: BodyPartReader) -> str:
    data = bytearray()
    while chunk := await part.read_chunk():
        data += chunk
        if len(data) > _MAX_FIELD_BYTES:
            raise GraphError(f"The field {part.name} is too long.", code="bad_request")
    return bytes(data).decode("utf-8", "replace")


async def _spool(part: BodyPartReader, limit: int) -> BinaryIO:
    spool: Any = tempfile.SpooledTemporaryFile(_SPOOL_BYTES)  # noqa: SIM115 - closed by whoever saves it
    size = 0
    try:
        while chunk := await part.read_chunk(_CHUNK_BYTES):
            size += len(chunk)
            if size > limit:
                raise UploadRefused(
                    f"Maximum request body size {limit} exceeded.",
                    code="upload_too_large",
                    hint="Raise --max-upload-size.",
                )
            spool.write(chunk)
    except BaseException:
        spool.close()
        raise
    spool.seek(0)
    return spool


async def _chunks(stream: BinaryIO) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(stream.read, _CHUNK_BYTES):
        yield chunk


async def _save(services: Services, form: _Form, stream: BinaryIO) -> web.Response:
    kind = form.fields.get("type", "input")
    if kind not in ("input", "temp", "output"):
        return refusal(400, "bad_type", f"There is no folder type {kind[:50]!r}.")
    overwrite = form.fields.get("overwrite", "").lower() in ("true", "1")
    subfolder = form.fields.get("subfolder", "")
    try:
        saved = await services.uploads.save(
            _chunks(stream), form.filename, subfolder=subfolder, folder=kind, overwrite=overwrite
        )
    except ContainmentError as error:
        return refusal(400, error.code, error.message, hint=error.hint)
    return say({"name": saved.name, "subfolder": saved.subfolder, "type": saved.type})


async def upload_image(request: web.Request) -> web.Response:
    """Take a file into the input (or temp, output) folder."""
    form = await _read_form(request)
    if form.file is None or not form.filename:
        form.close()
        return refusal(400, "no_image", "The form has no file called image.")
    with form.file:
        return await _save(request.app[SERVICES], form, form.file)


async def upload_mask(request: web.Request) -> web.Response:
    """Take a painted mask: its alpha replaces the alpha of the original picture."""
    services = request.app[SERVICES]
    form = await _read_form(request)
    if form.file is None or not form.filename:
        form.close()
        return refusal(400, "no_image", "The form has no file called image.")
    with form.file:
        try:
            original = await asyncio.to_thread(_open_original, services, form.fields.get("original_ref"))
        except FileNotFoundError:
            raise NotFoundError("There is no such original picture.") from None
        except ContainmentError as error:
            return refusal(400, error.code, error.message)
        merged = await asyncio.to_thread(_with_alpha, original, form.file)
    with merged:
        return await _save(services, form, merged)


def _open_original(services: Services, reference: str | None) -> BinaryIO:
    try:
        record = json.loads(reference or "")
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict) or not isinstance(record.get("filename"), str):
        raise GraphError("original_ref must be a JSON object with a filename.", code="bad_request")
    name, kind = split_annotation(record["filename"], str(record.get("type", "output")))
    subfolder = str(record.get("subfolder") or "")
    return open_inside(services.settings.folders.root(kind), f"{subfolder}/{name}" if subfolder else name)


def _with_alpha(original: BinaryIO, mask: BinaryIO) -> BinaryIO:
    """PNG of the original with the mask's alpha; the original's text chunks stay. Raises as `open_picture`."""
    with original:
        picture, painted = open_picture(original), open_picture(mask)
        try:
            texts = PngImagePlugin.PngInfo()
            for key, value in getattr(picture, "text", {}).items():
                texts.add_text(key, value)
            colour = picture.convert("RGBA")
            alpha = painted.convert("RGBA").getchannel("A")
            if alpha.size != colour.size:
                alpha = alpha.resize(colour.size, Image.Resampling.LANCZOS)
            colour.putalpha(alpha)
            buffer = io.BytesIO()
            colour.save(buffer, format="PNG", pnginfo=texts, compress_level=4)
        except Exception as error:
            raise UploadRefused("The picture is damaged.", code="bad_media") from error
    buffer.seek(0)
    return buffer


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("POST", "/upload/image", upload_image),
    ("POST", "/upload/mask", upload_mask),
)
