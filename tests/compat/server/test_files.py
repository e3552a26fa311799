from __future__ import annotations

import io
import json
import struct
from typing import Any

import aiohttp
import pytest
from PIL import Image, PngImagePlugin

from engine.core.folders import Folders

from .conftest import Client


def png(size: tuple[int, int] = (8, 6), color: Any = (255, 0, 0, 128), text: dict[str, str] | None = None) -> bytes:
    info = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        info.add_text(key, value)
    buffer = io.BytesIO()
    Image.new("RGBA", size, color).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def form(data: bytes, name: str = "a.png", **fields: str) -> aiohttp.FormData:
    body = aiohttp.FormData()
    body.add_field("image", data, filename=name, content_type="image/png")
    for key, value in fields.items():
        body.add_field(key, value)
    return body


async def upload(client: Client, path: str, body: aiohttp.FormData, status: int = 200) -> Any:
    async with client.http.post(client.address + path, data=body) as reply:
        assert reply.status == status, await reply.text()
        return await reply.json()


async def test_an_upload_lands_in_the_input_folder_and_can_be_viewed(client: Client, folders: Folders) -> None:
    data = png()
    reply = await upload(client, "/upload/image", form(data, "up.png"))
    assert reply == {"name": "up.png", "subfolder": "", "type": "input"}
    assert (folders.input / "up.png").read_bytes() == data
    assert await client.get("/view", params={"filename": "up.png", "type": "input"}) == data
    assert await client.get("/api/view", params={"filename": "up.png [input]"}) == data


async def test_an_equal_upload_reuses_its_name_another_one_is_numbered(client: Client) -> None:
    first = await upload(client, "/upload/image", form(png(color=(1, 1, 1, 255)), "same.png"))
    again = await upload(client, "/upload/image", form(png(color=(1, 1, 1, 255)), "same.png"))
    other = await upload(client, "/upload/image", form(png(color=(2, 2, 2, 255)), "same.png"))
    assert (first["name"], again["name"], other["name"]) == ("same.png", "same.png", "same (1).png")
    replaced = await upload(client, "/upload/image", form(png(color=(3, 3, 3, 255)), "same.png", overwrite="true"))
    assert replaced["name"] == "same.png"
    data = await client.get("/view", params={"filename": "same.png", "type": "input"})
    assert data == png(color=(3, 3, 3, 255))


async def test_subfolders_and_folder_types_are_honoured(client: Client, folders: Folders) -> None:
    reply = await upload(client, "/api/upload/image", form(png(), "s.png", subfolder="deep/er", type="temp"))
    assert reply == {"name": "s.png", "subfolder": "deep/er", "type": "temp"}
    assert (folders.temp / "deep" / "er" / "s.png").is_file()
    query = {"filename": "s.png", "type": "temp", "subfolder": "deep/er"}
    assert await client.get("/view", params=query) == png()


async def test_a_mask_replaces_the_alpha_and_keeps_the_texts(client: Client, folders: Folders) -> None:
    (folders.output / "orig.png").write_bytes(png(color=(10, 20, 30, 255), text={"prompt": "{}"}))
    reference = json.dumps({"filename": "orig.png", "subfolder": "", "type": "output"})
    body = form(png(color=(0, 0, 0, 77)), "mask.png", original_ref=reference, type="input", subfolder="clipspace")
    reply = await upload(client, "/upload/mask", body)
    assert reply == {"name": "mask.png", "subfolder": "clipspace", "type": "input"}
    with Image.open(folders.input / "clipspace" / "mask.png") as image:
        assert image.getpixel((0, 0)) == (10, 20, 30, 77)
        assert image.text == {"prompt": "{}"}


async def test_a_mask_of_a_missing_original_is_refused(client: Client) -> None:
    reference = json.dumps({"filename": "no such.png"})
    await upload(client, "/upload/mask", form(png(), "m.png", original_ref=reference), 404)
    await upload(client, "/upload/mask", form(png(), "m.png"), 400)
    reference = json.dumps({"filename": "../../etc/passwd"})
    await upload(client, "/upload/mask", form(png(), "m.png", original_ref=reference), 400)


# ------------------------------------------------------------------ view


@pytest.fixture
def stored(folders: Folders) -> Folders:
    (folders.output / "v.png").write_bytes(png())
    (folders.output / "page.html").write_text("<script>alert(1)</script>")
    (folders.output / "vector.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (folders.output / "fake.png").write_text("<html>not a picture</html>")
    (folders.output / "data.json").write_text("{}")
    return folders


async def test_raw_files_have_names_ranges_and_tags(client: Client, stored: Folders) -> None:
    url = client.address + "/view?filename=v.png"
    async with client.http.get(url) as reply:
        assert reply.content_type == "image/png"
        assert 'filename="v.png"' in reply.headers["Content-Disposition"]
        tag, data = reply.headers["ETag"], await reply.read()
    async with client.http.get(url, headers={"Range": "bytes=0-7"}) as reply:
        assert (reply.status, await reply.read()) == (206, data[:8])
    async with client.http.get(url, headers={"If-None-Match": tag}) as reply:
        assert reply.status == 304
    async with client.http.head(url) as reply:
        assert (reply.status, await reply.read()) == (200, b"")
        assert int(reply.headers["Content-Length"]) == len(data)


async def test_previews_and_channels_are_made_on_the_spot(client: Client, stored: Folders) -> None:
    async def view(**query: str) -> Image.Image:
        return Image.open(io.BytesIO(await client.get("/view", params={"filename": "v.png", **query})))

    assert ((await view(preview="webp;50")).format, (await view(preview="jpeg")).format) == ("WEBP", "JPEG")
    assert (await view(preview="odd;x")).format == "WEBP"
    assert (await view(preview="jpeg", channel="rgba")).format == "WEBP"
    rgb, alpha = await view(channel="rgb"), await view(channel="a")
    assert (rgb.mode, rgb.getpixel((0, 0))) == ("RGB", (255, 0, 0))
    assert (alpha.mode, alpha.getpixel((0, 0))) == ("RGBA", (0, 0, 0, 128))
    assert (await view(channel="odd")).mode == "RGBA"


@pytest.mark.parametrize("name", ["page.html", "vector.svg", "fake.png", "data.json"])
async def test_what_is_no_known_medium_by_content_is_a_download(client: Client, stored: Folders, name: str) -> None:
    async with client.http.get(f"{client.address}/view", params={"filename": name}) as reply:
        assert reply.status == 200
        assert reply.content_type == "application/octet-stream"
        assert reply.headers["Content-Disposition"].startswith("attachment")
        assert reply.headers["X-Content-Type-Options"] == "nosniff"


async def test_view_refuses_as_observed(client: Client, stored: Folders) -> None:
    await client.get("/view", 400)
    await client.get("/view", 400, params={"filename": ""})
    await client.get("/view", 400, params={"filename": "/etc/passwd"})
    await client.get("/view", 400, params={"filename": "../x.png"})
    await client.get("/view", 400, params={"filename": "v.png", "type": "user"})
    await client.get("/view", 403, params={"filename": "v.png", "subfolder": "../.."})
    await client.get("/view", 404, params={"filename": "none.png"})
    assert await client.get("/view", params={"filename": "some/folder/v.png"}) == png()
    await client.get("/view", 422, params={"filename": "page.html", "preview": "webp"})


async def test_metadata_of_weight_files_is_shown_and_anything_else_is_404(client: Client, folders: Folders) -> None:
    header = json.dumps({"__metadata__": {"kind": "test"}}).encode()
    loras = folders.models["loras"].paths[0]
    (loras / "m.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    (loras / "bare.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    (loras / "short.safetensors").write_bytes(b"\xff" * 8)
    assert await client.get("/view_metadata/loras", params={"filename": "m.safetensors"}) == {"kind": "test"}
    for name in ("bare.safetensors", "short.safetensors", "none.safetensors", "m.txt", "../m.safetensors"):
        await client.get("/view_metadata/loras", 404, params={"filename": name})
    await client.get("/view_metadata/loras", 404)
    await client.get("/view_metadata/nothing", 404, params={"filename": "m.safetensors"})


async def test_a_picture_with_plain_text_alone_tells_that_and_no_graph(client: Client, folders: Folders) -> None:
    told = "a fox\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 8x8"
    (folders.input / "kept").mkdir(exist_ok=True)
    (folders.input / "kept" / "a.png").write_bytes(png(text={"parameters": told}))
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + told.encode("utf-16-be")
    Image.new("RGB", (8, 8)).save(folders.output / "a.jpg", exif=exif)
    where = {"filename": "a.png", "subfolder": "kept"}
    assert await client.get("/view_metadata/input", params=where) == {"parameters": told}
    assert await client.get("/view_metadata/output", params={"filename": "a.jpg"}) == {"parameters": told}
    for name in ("", "none.png", "../a.jpg", "/a.jpg"):
        await client.get("/view_metadata/output", 404, params={"filename": name})


# ------------------------------------------------------------------ models


async def test_models_are_listed_by_folder(client: Client, folders: Folders) -> None:
    loras = folders.models["loras"].paths[0]
    (loras / "sub").mkdir(exist_ok=True)
    (loras / "sub" / "b.safetensors").write_bytes(b"12345678")
    (folders.models["embeddings"].paths[0] / "style.v1.pt").write_bytes(b"")
    keys = await client.get("/models")
    assert {"checkpoints", "loras", "vae", "text_encoders", "custom_nodes", "configs"} <= set(keys)
    assert "sub/b.safetensors" in await client.get("/models/loras")
    await client.get("/models/unet", 404)
    await client.get("/models/clip", 404)
    assert "style.v1" in await client.get("/embeddings")
    folders_listed = {entry["name"]: entry["folders"] for entry in await client.get("/experiment/models")}
    assert folders_listed["loras"][0] == str(loras)
    assert not {"configs", "custom_nodes"} & set(folders_listed)
    entry = next(e for e in await client.get("/experiment/models/loras") if e["name"] == "sub/b.safetensors")
    assert (entry["pathIndex"], entry["size"]) == (0, 8)
    assert entry["modified"] > 0
    await client.get("/experiment/models/custom_nodes", 404)


async def test_the_picture_beside_a_model_is_its_preview(client: Client, folders: Folders) -> None:
    loras = folders.models["loras"].paths[0]
    (loras / "p.safetensors").write_bytes(b"")
    (loras / "p.preview.png").write_bytes(png())
    data = await client.get("/experiment/models/preview/loras/0/p.safetensors")
    assert Image.open(io.BytesIO(data)).format == "WEBP"
    for path in ("loras/0/q.safetensors", "loras/9/p.safetensors", "nope/0/p", "loras/0/..%2F..%2Fp"):
        await client.get(f"/experiment/models/preview/{path}", 404)
