"""Bodies and graphs made to hurt: refused with a clear answer, while the server goes on answering."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import struct
import zlib

import pytest
from PIL import Image, PngImagePlugin

from engine.core.errors import AtelierError
from engine.server.failures import MediaTooLarge
from engine.server.thumbnails import Thumbnails
from tests.hostile.http.raw_http import raw_request, raw_status
from tests.server_harness import chain, running, settings_in, toy

JSON = {"Content-Type": "application/json"}


async def post(server, body: bytes | str | io.BytesIO, **headers: str) -> tuple[int, dict]:
    return await server.call("POST", "/jobs", data=body, headers={**JSON, **headers})


async def is_well(server) -> None:
    assert (await server.submit(toy("Show", text="well"), wait=60))["state"] == "succeeded"


async def test_compressed_bodies_are_refused_unopened(server):
    bombs = {
        "gzip": gzip.compress(b"0" * (20 << 20)),
        "deflate": zlib.compress(b"0" * (20 << 20)),
        "br": b"x",
        "zstd": b"x",
    }
    for codec, data in bombs.items():
        status, answer = await post(server, data[: 1 << 16], **{"Content-Encoding": codec})
        assert (status, answer["error"]["code"]) == (415, "encoded_body"), codec
    await is_well(server)


async def test_a_body_over_the_limit_is_refused(server):
    head = "POST /api/v1/jobs HTTP/1.1\nHost: localhost\nContent-Type: application/json\nContent-Length: 99999999999"
    assert await raw_status(server.url, head, b"{") == 413
    await is_well(server)


async def test_a_chunked_body_without_end_is_cut_off_at_the_limit(server):
    head = "POST /api/v1/jobs HTTP/1.1\nHost: localhost\nContent-Type: application/json\nTransfer-Encoding: chunked"
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    answer = await raw_request(server.url, head, chunk * 64)
    assert answer.split(b" ")[1] == b"413"
    await is_well(server)


BAD_HEADS = (
    ["GET / HTTP/1.1\nHost: localhost\n" + "\n".join(f"X-{n}: y" for n in range(10_000)),
     "GET / HTTP/1.1\nHost: localhost\nX: " + "y" * (1 << 20), "GET /" + "a" * 100_000 + " HTTP/1.1\nHost: localhost",
     "NONSENSE", "GET / HTTP/9.9\nHost: localhost", "GET http://evil.example/ HTTP/1.1\nHost: localhost2",
     "GET / HTTP/1.1\nHost: localhost\nContent-Length: 5\nTransfer-Encoding: chunked",
     "GET / HTTP/1.1\nHost: localhost\nContent-Length: -1", "GET / HTTP/1.1\nHost : localhost"]
)  # fmt: skip


async def test_malformed_heads_are_refused(server):
    for head in BAD_HEADS:
        answer = await raw_request(server.url, head)
        assert answer == b"" or 400 <= int(answer.split(b" ", 2)[1]) < 500, head[:60]
    await is_well(server)


async def test_a_boundary_of_ten_megabytes_is_refused(server):
    kind = "multipart/form-data; boundary=" + "b" * (10 << 20)
    head = f"POST /api/v1/assets HTTP/1.1\nHost: localhost\nContent-Length: 5\nContent-Type: {kind}"
    answer = await raw_request(server.url, head, b"hello")
    assert answer == b"" or 400 <= int(answer.split(b" ", 2)[1]) < 500


async def test_broken_forms_are_refused(server):
    field = b"--x\r\nContent-Disposition: form-data; name=f\r\n\r\nv"
    for body in (b"", b"no form", b"--x\r\n\r\n", field, field + b"\r\n--x--", b"--x--", b"--x\r\n" * 5000):
        kind = "multipart/form-data; boundary=x"
        status, _ = await server.call("POST", "/assets", data=body, headers={"Content-Type": kind})
        assert status in (400, 415, 422), body[:80]


async def test_a_hundred_slow_clients_do_not_block_a_good_one(server):
    url = server.url.removeprefix("http://").split(":")
    writers = []
    for _ in range(100):
        _, writer = await asyncio.open_connection(url[0], int(url[1]))
        writer.write(
            b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9"
        )
        writers.append(writer)
    await is_well(server)
    for writer in writers:
        writer.close()


# ------------------------------------------------------------------ JSON and graphs


NO_SUBMITS = (
    [b"", b"{", b"[]", b"null", b'"text"', b"{}", b"\xff\xfe{", b'{"prompt":1}', b'{"prompt":{"1":5}}',
     b'{"prompt":[]}',
     b'{"prompt":{},"workflow":{}}', b'{"surprise":1}', b'{"prompt":{"1":{"class_type":"Show"}},"priority":1e400}',
     b'{"prompt":{"1":{"class_type":"Show"}},"priority":1.5}', b'{"prompt":{"1":{"class_type":"Show"}},"id":"a/b"}',
     b'{"prompt":{"1":{"class_type":"Show"}},"id":"a\\u0000"}', b'{"workflow":{"nodes":[1,2,3]}}',
     b'{"prompt":{"1":{"class_type":"Show"}},"targets":"1"}', b'{"prompt":{"1":{"class_type":"Show","inputs":[]}}}']
)  # fmt: skip


async def test_bodies_that_are_no_submit_get_a_clear_400(server):
    for body in NO_SUBMITS:
        status, answer = await post(server, body)
        assert status in (400, 422), body
        assert set(answer["error"]) >= {"code", "message"}


async def test_deep_nesting_is_refused(server):
    for text in ("[" * 100_000, '{"a":' * 100_000, '{"prompt":' + "[" * 100_000 + "]" * 100_000 + "}"):
        status, answer = await post(server, text)
        assert (status, answer["error"]["code"]) == (400, "json_too_deep")


async def test_numbers_json_does_not_have_are_complaints(server):
    for value in ("NaN", "Infinity", "-Infinity", str(2**64), "1e999", "9" * 300):
        body = json.dumps({"prompt": toy("Sleep", seconds="HERE")}).replace('"HERE"', value)
        status, answer = await post(server, body)
        assert status == 422
        assert answer["error"]["details"]["complaints"][0]["input"] == "seconds"


async def test_a_number_of_a_megabyte_is_refused(server):
    status, answer = await post(
        server, '{"prompt":{"1":{"class_type":"Sleep","inputs":{"seconds":%s}}}}' % ("9" * 500_000)
    )
    assert (status, answer["error"]["code"]) == (400, "json_number")


async def test_cycles_are_named(server):
    for length in (1, 2, 3, 10, 100, 1000, 10_000):
        prompt = chain(length) if length > 1 else {"0": {"class_type": "Show", "inputs": {"text": "x"}}}
        prompt["0"]["inputs"]["after"] = [str(length - 1), 0]
        status, answer = await post(server, json.dumps({"prompt": prompt}).encode())
        assert status == 422
        assert any("cycle" in item["code"] for item in answer["error"]["details"]["complaints"]), length


async def test_broken_links_name_node_and_input(server):
    for link in (["9", 0], ["1", 0], ["1"], ["1", "0"], ["1", 99], [["1"], 0]):
        prompt = {"1": {"class_type": "Show", "inputs": {"text": "x", "after": link}}}
        status, answer = await post(server, json.dumps({"prompt": prompt}))
        assert status == 422, link
        assert "1" in {item.get("node") for item in answer["error"]["details"]["complaints"]}, link


async def test_odd_names_are_plain_data(server):
    for name in ("../x", "__class__", "__proto__", "constructor", "a\nb", "\x1b[2J", "<script>"):
        prompt = {name: {"class_type": "Show", "inputs": {"text": "x", "__proto__": 1}}}
        status, answer = await post(server, json.dumps({"prompt": prompt, "wait": 60}))
        assert (status, answer["job"]["state"]) == (201, "succeeded")
        assert answer["job"]["targets"] == [name]


async def test_an_unknown_node_type_gets_the_nearest_name(server):
    status, answer = await post(server, json.dumps({"prompt": toy("Shw", text="x")}))
    assert status == 422
    assert "Show" in json.dumps(answer)


async def test_a_million_nodes_are_refused_by_size(tmp_path):
    body = json.dumps({"prompt": {str(n): {"class_type": "S"} for n in range(1_000_000)}}).encode()
    wide = json.dumps({"prompt": {str(n): {"class_type": "S"} for n in range(60_000)}}).encode()
    async with running(settings_in(tmp_path)) as server:
        status, answer = await post(server, io.BytesIO(body))
        assert (status, answer["error"]["code"]) in ((413, "json_too_large"), (400, "too_many_nodes"))
        status, answer = await post(server, io.BytesIO(wide))
        assert (status, answer["error"]["code"]) == (400, "too_many_nodes")


async def test_a_string_of_ten_megabytes_is_only_a_string(tmp_path):
    body = json.dumps({"prompt": toy("Show", text="x" * (10 << 20)), "wait": 60}).encode()
    async with running(settings_in(tmp_path)) as server:
        status, answer = await post(server, io.BytesIO(body))
        assert (status, answer["job"]["state"]) == (201, "succeeded")


async def test_repeated_keys_keep_the_last(server):
    body = '{"prompt":{"1":{"class_type":"Nope"},"1":{"class_type":"Show","inputs":{"text":"x"}}},"wait":20}'
    status, answer = await post(server, body)
    assert (status, answer["job"]["state"]) == (201, "succeeded")


# ------------------------------------------------------------------ pictures


def png(width: int, height: int, data: bytes = b"") -> bytes:
    def piece(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = piece(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + piece(b"IDAT", zlib.compress(data)) + piece(b"IEND", b"")


async def test_pictures_that_claim_to_be_huge_are_refused_by_their_header():
    for width, height in ((50_000, 50_000), (2**31 - 1, 2**31 - 1), (1, 2**30)):
        with pytest.raises(MediaTooLarge):
            await Thumbnails().make(io.BytesIO(png(width, height)), "x")


@pytest.mark.parametrize(
    "data", [b"", b"text", png(10, 10)[:40], png(10, 10), b"GIF89a" + b"\xff" * 100, b"RIFF\x00\x00\x00\x00WEBP"]
)
async def test_damaged_pictures_are_refused(data):
    with pytest.raises(AtelierError):
        await Thumbnails().make(io.BytesIO(data), "x")


async def test_a_picture_with_a_bomb_in_its_text_is_refused():
    info = PngImagePlugin.PngInfo()
    info.add_text("bomb", "0" * (80 << 20), zip=True)
    target = io.BytesIO()
    Image.new("RGB", (8, 8)).save(target, "PNG", pnginfo=info)
    with pytest.raises(AtelierError) as caught:
        await Thumbnails().make(io.BytesIO(target.getvalue()), "x")
    assert caught.value.code == "bad_media"


async def test_only_the_first_of_ten_thousand_frames_is_read():
    frames = [Image.new("P", (4, 4), number % 250) for number in range(2000)]
    target = io.BytesIO()
    frames[0].save(target, "GIF", save_all=True, append_images=frames[1:])
    assert (await Thumbnails().make(io.BytesIO(target.getvalue()), "x")).startswith(b"RIFF")
