"""Requests made to break the compatibility routes: every one gets a refusal that fits, none an error of the server."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import random
import struct
import zlib
from typing import Any

import aiohttp
import pytest
from compat.server.conftest import Client, ServerThread, picture, saved
from yarl import URL

ESCAPES = (
    "../secret.png", "..\\secret.png", "/etc/passwd", "....//secret.png", "%2e%2e/secret.png", "a/../../secret.png",
    "\x00.png", "a\x00.png", "a\n.png", "C:\\secret.png", "\\\\host\\share", "con", "aux.png", "file:///etc/passwd",
    ".", "..", "", " ", "x" * 5000, "a:b", "\u202e.png", "~root/x",
)  # fmt: skip
GET_ROUTES = (
    "/prompt", "/queue", "/history", "/history/{}", "/object_info/{}", "/embeddings", "/models", "/models/{}",
    "/view", "/view_metadata/{}", "/extensions", "/features", "/system_stats", "/workflow_templates", "/i18n",
    "/settings", "/settings/{}", "/users", "/userdata", "/v2/userdata", "/userdata/{}", "/experiment/models",
    "/experiment/models/{}", "/experiment/models/preview/{}/0/{}", "/jobs", "/jobs/{}", "/global_subgraphs",
    "/extensions/{}/{}", "/internal/logs", "/internal/logs/raw", "/internal/folder_paths", "/internal/files/{}", "/ws",
)  # fmt: skip
POST_ROUTES = (
    "/prompt", "/queue", "/history", "/interrupt", "/free", "/settings", "/settings/{}", "/users", "/userdata/{}",
    "/userdata/{}/move/{}", "/upload/image", "/upload/mask", "/jobs/cancel", "/jobs/{}/cancel",
)  # fmt: skip


@pytest.mark.parametrize("name", ESCAPES)
async def test_no_file_outside_the_folders_is_shown(client: Client, name: str) -> None:
    for query in ({"filename": name}, {"filename": "secret.png", "subfolder": name}, {"filename": f"{name} [input]"}):
        for kind in ("output", "input", "temp"):
            async with client.http.get(client.address + "/view", params={**query, "type": kind}) as reply:
                body = await reply.read()
                assert reply.status in (400, 403, 404), (query, reply.status)
                assert b"secret" not in body.replace(b"secret.png", b"")


@pytest.mark.parametrize("name", ESCAPES)
async def test_no_upload_lands_outside_the_folders(client: Client, hostile_server: ServerThread, name: str) -> None:
    before = _tree(hostile_server)
    for fields in ({"name": name}, {"name": "ok.png", "subfolder": name}, {"name": "ok.png", "type": name}):
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        body = io.BytesIO(_form(fields))
        async with client.http.post(client.address + "/upload/image", data=body, headers=headers) as reply:
            assert reply.status in (200, 400, 403, 404), reply.status
    assert _tree(hostile_server) == before


def _form(fields: dict[str, str]) -> bytes:
    """A form as a client without scruples writes it: names are not cleaned."""
    parts = [f'name="image"; filename="{fields["name"]}"\r\n\r\nz']
    parts += [f'name="{key}"\r\n\r\n{value}' for key, value in fields.items() if key != "name"]
    text = "".join(f"--x\r\nContent-Disposition: form-data; {part}\r\n" for part in parts)
    return f"{text}--x--\r\n".encode()


def _tree(server: ServerThread) -> set[str]:
    root = server.settings.folders.base.parent
    inside = (server.settings.folders.input, server.settings.folders.user, server.settings.folders.temp)
    return {str(p) for p in root.rglob("*") if not any(f == p or f in p.parents for f in inside)}


async def test_an_upload_above_the_limit_is_413_and_leaves_nothing(
    client: Client, hostile_server: ServerThread
) -> None:
    form = aiohttp.FormData()
    form.add_field("image", io.BytesIO(b"x" * (2 << 20)), filename="big.png")
    async with client.http.post(client.address + "/upload/image", data=form) as reply:
        assert reply.status == 413
    assert not (hostile_server.settings.folders.input / "big.png").exists()
    staging = hostile_server.settings.folders.data / "uploads"
    assert list(staging.glob("*")) == []


@pytest.mark.parametrize(
    "body",
    [
        b"", b"--x", b"--x\r\n\r\n", b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\nno file\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="other"; filename="a.png"\r\n\r\nz\r\n--x--\r\n',
        b"--x\r\nContent-Disposition: form-data\r\n\r\nz\r\n--x--\r\n",
        b'--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y--\r\n--x--\r\n',
    ],
)  # fmt: skip
async def test_malformed_forms_are_refused(client: Client, body: bytes) -> None:
    for path in ("/upload/image", "/upload/mask"):
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        async with client.http.post(client.address + path, data=body, headers=headers) as reply:
            assert 400 <= reply.status < 500, (path, reply.status, await reply.text())


async def test_pictures_with_too_many_pixels_are_not_decoded(client: Client, hostile_server: ServerThread) -> None:
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b"")) + _chunk(b"IEND", b"")
    (hostile_server.settings.folders.output / "bomb.png").write_bytes(data)
    for query in ({"preview": "webp"}, {"channel": "rgb"}, {"channel": "a"}):
        await client.get("/view", 413, params={"filename": "bomb.png", **query})
    form = aiohttp.FormData()
    form.add_field("image", data, filename="m.png")
    form.add_field("original_ref", json.dumps({"filename": "bomb.png"}))
    async with client.http.post(client.address + "/upload/mask", data=form) as reply:
        assert reply.status == 413


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


async def test_damaged_pictures_are_refused(client: Client, hostile_server: ServerThread) -> None:
    from PIL import Image

    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(buffer, "PNG")
    whole = buffer.getvalue()
    generator = random.Random(5)
    for number in range(20):
        data = bytearray(whole)
        for _ in range(20):
            data[generator.randrange(8, len(data))] = generator.randrange(256)
        (hostile_server.settings.folders.output / "damaged.png").write_bytes(bytes(data[: len(data) - number * 30]))
        async with client.http.get(client.address + "/view?filename=damaged.png&preview=webp") as reply:
            assert reply.status in (200, 413, 422), reply.status


# ------------------------------------------------------------------ generated requests


def _odd(generator: random.Random) -> Any:
    return generator.choice(
        [
            None,
            True,
            -1,
            10**30,
            1.5,
            float("inf"),
            "",
            "x",
            "\x00",
            "../..",
            [],
            {},
            [[]],
            {"a": {}},
            ["1", 0],
            "9" * 500,
        ]
    )


def _body(generator: random.Random) -> bytes:
    keys = (
        "prompt", "client_id", "extra_data", "prompt_id", "number", "front", "partial_execution_targets", "clear",
        "delete", "unload_models", "free_memory", "username", "job_ids",
    )  # fmt: skip
    record = {generator.choice(keys): _odd(generator) for _ in range(generator.randrange(4))}
    record.pop("unload_models", None)
    text = json.dumps(record).encode()
    choice = generator.randrange(8)
    if choice == 0:
        return text[: generator.randrange(len(text) + 1)]
    if choice == 1:
        return json.dumps(_odd(generator)).encode()
    if choice == 2:
        return bytes(generator.randrange(256) for _ in range(20))
    return text


async def test_generated_requests_are_answered_and_never_with_a_server_error(client: Client) -> None:
    generator = random.Random(2026)
    words = [*ESCAPES[:-4], "checkpoints", "output", "default", "classic_pack", "%", "%zz", "ä", "🙂", "SaveImage"]
    names = (
        "filename", "type", "subfolder", "preview", "channel", "max_items", "offset", "limit", "status", "dir", "path",
        "recurse", "full_info", "overwrite", "clientId", "sort_by", "workflow_id",
    )  # fmt: skip
    for _ in range(1500):
        method = generator.choice(("GET", "POST", "DELETE", "PATCH", "PUT", "HEAD", "OPTIONS"))
        route = generator.choice(GET_ROUTES if generator.random() < 0.5 else POST_ROUTES)
        path = generator.choice(("", "/api")) + route
        while "{}" in path:
            path = path.replace("{}", str(URL.build(path="/" + generator.choice(words)[:300]))[1:] or "x", 1)
        query = {generator.choice(names): str(_odd(generator)) for _ in range(generator.randrange(3))}
        url = URL(client.address + path.replace("#", "").replace("?", ""), encoded=True).update_query(query)
        body = _body(generator) if method in ("POST", "PATCH", "PUT", "DELETE") else None
        timeout = aiohttp.ClientTimeout(30)
        async with client.http.request(method, url, data=body, allow_redirects=False, timeout=timeout) as reply:
            await reply.read()
            assert reply.status < 500, (method, str(url)[:300], body, reply.status)


async def test_mutated_prompts_are_refused_or_run_but_never_break_the_server(client: Client) -> None:
    generator = random.Random(77)
    for number in range(200):
        prompt: dict[str, Any] = {"1": picture(4, 4, number), "2": saved("1", "mutated")}
        for _ in range(generator.randrange(1, 4)):
            node = prompt[generator.choice(list(prompt))]
            if not isinstance(node, dict):
                continue
            place = generator.choice(("class_type", "inputs", "width", "images", "filename_prefix", "batch_size"))
            if place in ("class_type", "inputs"):
                node[place] = _odd(generator)
            elif isinstance(node.get("inputs"), dict):
                node["inputs"][place] = _odd(generator)
        if generator.random() < 0.1:
            prompt[generator.choice(["", "a b", "1"])] = _odd(generator)
        body = json.dumps({"prompt": prompt}).encode()
        async with client.http.post(client.address + "/prompt", data=body) as reply:
            record = await reply.json()
            assert reply.status in (200, 400), (prompt, record)
            assert "error" in record or "prompt_id" in record
    await client.post("/queue", {"clear": True})
    await client.post("/interrupt")


# ------------------------------------------------------------------ sockets


async def test_odd_socket_messages_are_ignored_and_the_socket_lives(client: Client) -> None:
    async with client.listen("odd") as listener:
        await listener.next()
        for text in ("", "{", "[]", "5", "null", '{"type": 5}', '{"type":"feature_flags","data":[]}', "[" * 100_000):
            await listener.socket.send_str(text)
        await listener.socket.send_bytes(b"\x00" * 1000)
        await client.queue({"1": picture(color=9), "2": saved("1", "odd")}, client_id="odd")
        assert (await listener.until("status"))["type"] == "status"


async def test_a_huge_socket_message_ends_that_socket_only(client: Client) -> None:
    async with client.listen("huge") as listener, client.listen("other") as other:
        await listener.next()
        await other.next()
        with contextlib.suppress(ConnectionError):  # the server may close it before all was written
            await listener.socket.send_str("x" * (2 << 20))
        while (await asyncio.wait_for(listener.socket.receive(), 10)).type is aiohttp.WSMsgType.TEXT:
            pass  # status messages that were on their way
        assert listener.socket.closed
        await client.queue({"1": picture(color=10), "2": saved("1", "huge")}, client_id="other")
        await other.until("execution_success")


async def test_foreign_origins_and_hosts_are_refused(client: Client) -> None:
    for headers in (
        {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    ):  # fmt: skip
        for method, path in (
            ("POST", "/interrupt"),
            ("GET", "/view?filename=x.png"),
            ("GET", "/ws"),
            ("POST", "/prompt"),
        ):
            async with client.http.request(method, client.address + path, headers=headers) as reply:
                assert reply.status == 403, (headers, method, path, reply.status)
