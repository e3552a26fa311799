"""/assets: files that jobs made, and files sent for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from engine.core.errors import UploadRefused
from engine.server.file_replies import data_reply, file_reply
from engine.server.operations import Call, Operation, Parameter, Reply
from engine.server.origins import Wanted
from engine.server.records import AssetRecord
from engine.server.replies import json_reply
from engine.server.routes.schemas import array_of, ref

__all__ = ["OPERATIONS", "asset_json", "part_chunks"]

_CHUNK_BYTES = 1 << 20
_IDLE_S = 30.0
_MAX_FIELDS = 16
_MAX_FIELD_BYTES = 4096
_SHOWN = (
    "id", "job", "node", "folder", "subfolder", "filename", "media_type", "size_bytes", "width_px", "height_px",
    "created_s",
)  # fmt: skip
_NAME = {"type": "string", "maxLength": 300}
_ASSET = Parameter("asset", {"type": "string", "maxLength": 100}, "The asset's id.", "path")


def asset_json(asset: AssetRecord) -> dict[str, Any]:
    """An asset as the native API shows it."""
    return {**{name: getattr(asset, name) for name in _SHOWN}, "url": f"/api/v1/assets/{asset.id}"}


async def list_assets(call: Call) -> web.StreamResponse:
    """Assets of a job, or the newest."""
    params = call.params
    wanted = Wanted(params["workflow"], params["model"], params["text"])
    found = await call.services.assets.list(params["job"], params["limit"], params["offset"], wanted)
    return json_reply([asset_json(asset) for asset in found])


async def list_origins(call: Call) -> web.StreamResponse:
    """What assets can be asked for by."""
    names = await call.services.assets.origins()
    return json_reply({"workflows": names.workflows, "models": names.models})


async def get_asset(call: Call) -> web.StreamResponse:
    """The file itself; ranges and ETags work."""
    asset = await call.services.assets.get(call.params["asset"])
    stream = await asyncio.to_thread(call.services.assets.open, asset)
    return await file_reply(call.request, stream, asset.filename)


async def get_asset_facts(call: Call) -> web.StreamResponse:
    """What is known about the file."""
    return json_reply(asset_json(await call.services.assets.get(call.params["asset"])))


async def get_thumbnail(call: Call) -> web.StreamResponse:
    """A small WebP."""
    asset = await call.services.assets.get(call.params["asset"])
    stream = await asyncio.to_thread(call.services.assets.open, asset)
    data = await call.services.thumbnails.make(stream, asset.id, call.params["size"])
    return data_reply(data, f"{asset.filename}.webp", cache="private, max-age=86400")


async def upload_asset(call: Call) -> web.StreamResponse:
    """Take one file of a form; fields before it: subfolder, type, overwrite."""
    if call.request.content_type != "multipart/form-data":
        raise UploadRefused("The body must be multipart/form-data.", code="not_json")
    fields: dict[str, str] = {}
    try:
        reader = await call.request.multipart()
        for _ in range(_MAX_FIELDS):
            part = await asyncio.wait_for(reader.next(), _IDLE_S)
            if part is None:
                break
            if not isinstance(part, BodyPartReader):
                raise UploadRefused("A form inside the form is not accepted.", code="bad_form")
            if part.filename is None:
                fields[part.name or ""] = await _field_text(part)
                continue
            uploaded = await call.services.uploads.save(
                part_chunks(part),
                part.filename,
                subfolder=fields.get("subfolder", ""),
                folder=fields.get("type", "input"),
                overwrite=fields.get("overwrite", "") in ("1", "true"),
            )
            return json_reply(
                {
                    "name": uploaded.name,
                    "subfolder": uploaded.subfolder,
                    "type": uploaded.type,
                    "sha256": uploaded.digest,
                    "size_bytes": uploaded.size_bytes,
                },
                201,
            )
    except asyncio.TimeoutError:
        raise UploadRefused("The form did not arrive in time.", code="body_too_slow") from None
    except (ValueError, AssertionError, RuntimeError, HttpProcessingError) as error:
        raise UploadRefused(f"The form cannot be read: {error}", code="bad_form") from error
    raise UploadRefused("The form has no file.", code="bad_form", hint="Send the file in a field with a file name.")


async def part_chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    """The bytes of a form part, as they come; a sender that goes silent is given up. Raises asyncio.TimeoutError."""
    while chunk := await asyncio.wait_for(part.read_chunk(_CHUNK_BYTES), _IDLE_S):
        yield chunk


async def _field_text(part: BodyPartReader) -> str:
    data = b""
    async for chunk in part_chunks(part):
        data += chunk
        if len(data) > _MAX_FIELD_BYTES:
            raise UploadRefused(f"The form field {part.name!r} is too long.", code="bad_form")
    return data.decode("utf-8", "replace")


_NO_ASSET = Reply("There is no such asset, or its file is gone.", ref("Error"))
_TAGS = ("assets",)

OPERATIONS = (
    Operation(
        "GET", "/assets", list_assets, "List files that jobs made", tags=_TAGS,
        parameters=(
            Parameter("job", {"type": "string", "maxLength": 200}, "Only this job's."),
            Parameter("workflow", _NAME, "Only of jobs whose extra.workflow_name was this."),
            Parameter("model", _NAME, "Only of jobs that named this weight file."),
            Parameter("text", _NAME, "Only where every word is in the prompts or in the file's name."),
            Parameter("limit", {"type": "integer", "minimum": 1, "maximum": 1000}, "Page size.", default=100),
            Parameter("offset", {"type": "integer", "minimum": 0, "maximum": 10**9}, "Assets to skip.", default=0),
        ),
        replies={200: Reply("Assets.", array_of(ref("Asset")))},
    ),
    Operation(
        "GET", "/assets/origins", list_origins, "The workflows and weight files that files were made with", tags=_TAGS,
        replies={200: Reply("Names to ask /assets for.", ref("Origins"))},
    ),
    Operation(
        "POST", "/assets", upload_asset, "Send a file into the input folder", multipart=True, tags=_TAGS,
        replies={
            201: Reply("Stored (or an equal file was there).", ref("Uploaded")),
            404: Reply("There is no such folder.", ref("Error")),
            422: Reply("The form is not readable.", ref("Error")),
        },
    ),
    Operation(
        "GET", "/assets/{asset}", get_asset, "Read a file", parameters=(_ASSET,), tags=_TAGS,
        replies={
            200: Reply("The bytes; media of known kinds inline, everything else as a download.", None, "*/*"),
            206: Reply("The range asked for.", None, "*/*"),
            304: Reply("The client has it."),
            404: _NO_ASSET,
            416: Reply("The range is beyond the end."),
        },
    ),
    Operation(
        "GET", "/assets/{asset}/facts", get_asset_facts, "What is known about a file", parameters=(_ASSET,), tags=_TAGS,
        replies={200: Reply("Facts.", ref("Asset")), 404: _NO_ASSET},
    ),
    Operation(
        "GET", "/assets/{asset}/thumbnail", get_thumbnail, "A small picture of a picture", tags=_TAGS,
        parameters=(
            _ASSET,
            Parameter("size", {"type": "integer", "minimum": 1, "maximum": 1024}, "Longest side, px.", default=256),
        ),
        replies={
            200: Reply("WebP.", None, "image/webp"),
            404: _NO_ASSET,
            413: Reply("The picture has too many pixels.", ref("Error")),
            422: Reply("The file is no picture.", ref("Error")),
        },
    ),
)  # fmt: skip
