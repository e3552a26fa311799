"""Names that lead elsewhere, links to secrets, active content: through every route that takes a name."""

from __future__ import annotations

import io
import itertools
import os
import threading
from urllib.parse import quote

import aiohttp
import pytest
import sqlalchemy as sa
from yarl import URL

from engine.core.containment import open_inside
from engine.core.errors import ContainmentError
from engine.server.file_replies import content_disposition
from engine.server.tables import ASSETS
from tests.server_harness import write

NAMES = [
    "../secret.txt", "..", "../../secret.txt", "..%2fsecret.txt", "%2e%2e%2fsecret.txt", "..%5csecret.txt",
    "..\\secret.txt", "%252e%252e%252fsecret.txt", "/etc/passwd", "C:\\Windows\\win.ini", "\\\\host\\share\\x",
    "a\x00.png", "x.png:stream", "\xc0\xae\xc0\xae/secret.txt", "x" * 5000, "....//secret.txt", "/proc/self/environ",
    "CON", "nul.txt", "a/../../secret.txt", "\x1b[2J", "~/secret", ".", "./", "a\nb",
]  # fmt: skip
ROUTES = [
    "/api/v1/assets/{}", "/api/v1/assets/{}/facts", "/api/v1/assets/{}/thumbnail", "/api/v1/workflows/{}",
    "/api/v1/workflows/{}/versions", "/api/v1/models/checkpoints/{}", "/api/v1/models/{}", "/api/v1/jobs/{}",
    "/api/v1/jobs/{}/events", "/api/v1/catalog/nodes/{}", "/{}", "/view?filename={}", "/view?filename=x&subfolder={}",
    "/view?filename=x&type={}", "/userdata/{}", "/userdata?dir={}", "/view_metadata/checkpoints?filename={}",
    "/view_metadata/output?filename={}", "/view_metadata/input?filename=x&subfolder={}",
    "/models/{}", "/extensions/{}", "/api/userdata/{}",
]  # fmt: skip


async def test_a_name_that_leads_elsewhere_is_never_served(server):
    for route, name in itertools.product(ROUTES, NAMES):
        for text in {quote(name.encode("utf-8", "surrogatepass"), safe=""), quote(name, safe="%/.\\")}:
            target = URL(server.url + route.format(text), encoded=True)
            try:
                async with server.session.get(target) as reply:
                    body = await reply.read()
                    status = reply.status
            except (ValueError, aiohttp.ClientError):
                continue  # not even a request
            assert b"SECRET" not in body, (route, name)
            assert b"root:" not in body, (route, name)
            assert status < 500, (route, name, status)
    assert (await server.call("GET", "/system/health"))[0] == 200


async def upload(server, filename: str, data: bytes = b"data", **fields: str):
    form = aiohttp.FormData(quote_fields=False)
    for name, value in fields.items():
        form.add_field(name, value)
    form.add_field("file", io.BytesIO(data), filename=filename)
    return await server.call("POST", "/assets", data=form)


def tree(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if ".atelier" not in path.parts}


async def test_an_upload_never_leaves_the_input_folder(server, tmp_path):
    before = tree(tmp_path)
    for name in NAMES:
        for filename, fields in ((name, {}), ("x.png", {"subfolder": name}), ("x.png", {"type": name})):
            try:
                status, _ = await upload(server, filename, **fields)
            except ValueError:
                continue  # not even a form
            assert status in (201, 400, 404, 422), (filename, fields)
    fresh = tree(tmp_path) - before
    assert all(path.startswith("input/") for path in fresh)
    assert (tmp_path / "secret.txt").read_text() == "SECRET"


async def test_a_workflow_name_never_leaves_its_folder(server, tmp_path):
    before = tree(tmp_path)
    for name in NAMES:
        text = quote(name.encode("utf-8", "surrogatepass"), safe="")
        target = URL(f"{server.url}/api/v1/workflows/{text}", encoded=True)
        async with server.session.put(target, json={"nodes": []}) as reply:
            assert reply.status in (200, 201, 400, 404, 405, 412), name
    assert all(path.startswith("user/default/workflows") or path == "user/default" for path in tree(tmp_path) - before)


async def test_an_output_prefix_that_leads_elsewhere_fails_the_job(server, tmp_path):
    before = tree(tmp_path)
    for prefix in ("../out", "a/../../out", "/abs/out", "C:\\out", "sub/../../x", "a\x00b", "x/"):
        job = await server.submit(write("x", prefix=prefix), wait=60)
        assert (job["state"], job["error"]["code"]) == ("failed", "path_outside_root"), prefix
    assert tree(tmp_path) - before <= {"temp"}


async def test_a_link_to_a_secret_is_not_served_nor_written_through(server, tmp_path):
    job = await server.submit(write("x"), wait=60)
    (asset,) = (await server.call("GET", f"/assets?job={job['id']}"))[1]
    served = tmp_path / "output" / asset["filename"]
    served.unlink()
    served.symlink_to(tmp_path / "secret.txt")
    status, body = await server.call("GET", f"/assets/{asset['id']}")
    assert (status, "SECRET" in str(body)) == (400, False)
    (tmp_path / "input" / "link").symlink_to(tmp_path)
    assert (await upload(server, "new.txt", subfolder="link"))[0] == 400
    assert not (tmp_path / "new.txt").exists()


def test_a_link_swapped_in_between_check_and_open_is_never_read(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_bytes(b"SECRET")
    (root / "good").write_bytes(b"fine")
    (root / "link").symlink_to(tmp_path / "secret")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            os.replace(root / "good", root / "name") if (root / "good").exists() else None
            (root / "good").write_bytes(b"fine")
            (root / "other").symlink_to(tmp_path / "secret")
            os.replace(root / "other", root / "name")

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen = set()
    try:
        for _ in range(10_000):
            try:
                with open_inside(root, "name") as stream:
                    seen.add(stream.read())
            except (ContainmentError, FileNotFoundError):
                continue
    finally:
        stop.set()
        swapper.join()
    assert seen <= {b"fine", b""}


ACTIVE = {
    "page.html": b"<script>alert(1)</script>", "page.xhtml": b"<html xmlns='http://www.w3.org/1999/xhtml'/>",
    "a.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>", "a.xml": b"<?xml version='1.0'?><x/>",
    "a.js": b"alert(1)", "a.mjs": b"export default 1", "a.wasm": b"\x00asm", "a.css": b"*{}", "a.swf": b"FWS",
    "a.pdf": b"%PDF-1.7", "fake.png": b"<html>not a picture</html>", "text.txt": b"plain",
}  # fmt: skip


async def replace_asset(server, tmp_path, name: str, data: bytes) -> str:
    """An asset row for a file of that name and content; its id."""
    job = await server.submit(write(name), wait=60)
    (asset,) = (await server.call("GET", f"/assets?job={job['id']}"))[1]
    (tmp_path / "output" / name).write_bytes(data)
    update = sa.update(ASSETS).where(ASSETS.c.id == asset["id"]).values(filename=name)
    await server.engine.services.jobs.change(lambda change: change.connection.execute(update) and None)
    return asset["id"]


async def test_active_content_is_only_ever_a_download(server, tmp_path):
    for name, data in ACTIVE.items():
        asset = await replace_asset(server, tmp_path, name, data)
        async with server.session.get(f"{server.url}/api/v1/assets/{asset}") as reply:
            assert reply.status == 200
            assert reply.content_type == "application/octet-stream", name
            assert reply.headers["Content-Disposition"].startswith("attachment")
            assert reply.headers["X-Content-Type-Options"] == "nosniff"
            assert "sandbox" in reply.headers["Content-Security-Policy"]


async def test_a_picture_with_a_page_behind_its_header_stays_a_picture(server, tmp_path):
    data = b"\x89PNG\r\n\x1a\n<html><script>alert(1)</script></html>"
    asset = await replace_asset(server, tmp_path, "page.html", data)
    async with server.session.get(f"{server.url}/api/v1/assets/{asset}") as reply:
        assert (reply.content_type, reply.headers["X-Content-Type-Options"]) == ("image/png", "nosniff")
        assert "sandbox" in reply.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "name", ['a".png', "a\r\nSet-Cookie: x=1.png", "a;b.png", "ü漢.png", "a\\b.png", "%22.png", "\ud800.png"]
)
def test_file_names_cannot_break_out_of_their_header(name):
    header = content_disposition(name, inline=True)
    assert "\r" not in header
    assert "\n" not in header
    assert header.isascii()
    assert header.count('"') == 2
    assert header.startswith('inline; filename="')


async def test_ranges_etags_and_head_work(server):
    job = await server.submit(write("0123456789"), wait=60)
    (asset,) = (await server.call("GET", f"/assets?job={job['id']}"))[1]
    url = f"{server.url}{asset['url']}"
    async with server.session.get(url) as reply:
        whole, etag = await reply.read(), reply.headers["ETag"]
    assert len(whole) == asset["size_bytes"]
    for value, start, end in (
        ("bytes=0-3", 0, 4),
        ("bytes=5-", 5, len(whole)),
        ("bytes=-4", len(whole) - 4, len(whole)),
    ):
        async with server.session.get(url, headers={"Range": value}) as reply:
            assert (reply.status, await reply.read()) == (206, whole[start:end])
            assert reply.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(whole)}"
    for value in ("bytes=9999-", "bytes=5-2"):
        async with server.session.get(url, headers={"Range": value}) as reply:
            assert reply.status == 416
    for value in ("bytes=0-1,3-4", "lines=1-2", "bytes=-", "bytes=x"):
        async with server.session.get(url, headers={"Range": value}) as reply:
            assert (reply.status, await reply.read()) == (200, whole)
    async with server.session.get(url, headers={"If-None-Match": etag}) as reply:
        assert reply.status == 304
    async with server.session.head(url) as reply:
        assert (reply.status, reply.headers["Content-Length"]) == (200, str(len(whole)))


async def test_an_equal_upload_is_reused_and_a_different_one_gets_a_new_name(server, tmp_path):
    assert (await upload(server, "a.png", b"one"))[1]["name"] == "a.png"
    assert (await upload(server, "a.png", b"one"))[1]["name"] == "a.png"
    assert (await upload(server, "a.png", b"two"))[1]["name"] == "a (1).png"
    assert (await upload(server, "a.png", b"two"))[1]["name"] == "a (1).png"
    assert (await upload(server, "a.png", b"new", overwrite="true"))[1]["name"] == "a.png"
    assert {path.name: path.read_bytes() for path in (tmp_path / "input").iterdir()} == {
        "a.png": b"new", "a (1).png": b"two",
    }  # fmt: skip
    assert list((tmp_path / "user" / ".atelier" / "uploads").iterdir()) == []


async def test_an_upload_over_the_limit_is_refused_and_leaves_nothing(server, tmp_path):
    for size in (2 << 20, (1 << 20) + 1):  # refused by its stated length, and while it is read
        status, answer = await upload(server, "big.bin", b"x" * size)
        assert (status, answer["error"]["code"]) == (413, "upload_too_large")
    assert list((tmp_path / "input").iterdir()) == []
    assert list((tmp_path / "user" / ".atelier").glob("uploads/*")) == []
