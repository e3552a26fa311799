"""Downloads of models lead nowhere but to public hosts on the list, and leave nothing that was not asked for."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver

from engine.core.errors import AtelierError
from engine.server.downloads import Download, Downloads, Wish
from engine.server.failures import DownloadRefused
from engine.server.feed import Feed
from engine.server.remote_files import PublicResolver, RemoteFile, RemoteFiles, is_public
from tests.server_harness import ROOT, running, settings_in

TLS = ROOT / "tests" / "data" / "tls"
FILE = (2).to_bytes(8, "little") + b"{}" + bytes(range(256)) * 4000
DIGEST = hashlib.sha256(FILE).hexdigest()
HUB = "https://hub.test/m.safetensors"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1",
     "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1",
     "fd12::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:1::",
     "2001:db8::1", "", "hub.test", "0x7f.1"],
)  # fmt: skip
def test_addresses_that_are_not_of_the_open_internet_are_not_public(address):
    assert not is_public(address)


def test_addresses_of_the_open_internet_are_public():
    assert all(map(is_public, ["1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]))


@pytest.mark.parametrize(
    ("url", "code"),
    [("http://hub.test/m", "bad_address"), ("https://hub.test:8443/m", "bad_address"),
     ("file:///etc/passwd", "bad_address"),
     ("ftp://hub.test/m", "bad_address"), ("https://me@hub.test/m", "bad_address"), ("//hub.test/m", "bad_address"),
     ("https://hub.test\\@evil.test/m", "bad_address"), ("https://hub.test/" + "m" * 5000, "bad_address"),
     ("https://evil.test/hub.test", "host_not_allowed"), ("https://hub.test.evil.test/", "host_not_allowed"),
     ("https://evilhub.test/m", "host_not_allowed"), ("https://hub.test%2eevil.test/m", "host_not_allowed"),
     ("https://hub.test./m", "host_not_allowed"), ("https://127.0.0.1/m", "host_not_allowed"),
     ("https://[::1]/m", "host_not_allowed"), ("https://2130706433/m", "host_not_allowed"),
     ("https://evil.test#@hub.test/m", "host_not_allowed"), ("https:///m", "host_not_allowed"), ("", "bad_address")],
)  # fmt: skip
def test_addresses_off_the_list_are_refused(url, code):
    with pytest.raises(DownloadRefused) as caught:
        RemoteFiles(["hub.test", "127.0.0.1", "2130706433"]).check(url)
    assert caught.value.code == code


@pytest.mark.parametrize("url", [HUB, "https://HUB.test/m", "https://cdn.hub.test:443/m?signed=%2Fa%7E"])
def test_hosts_on_the_list_and_below_them_are_asked(url):
    assert str(RemoteFiles(["hub.test"]).check(url)).lower().startswith("https://")


class FakeResolver(AbstractResolver):
    """Knows one address of every name; a port of its own leads to a test's server."""

    def __init__(self, address: str, port: int = 0) -> None:
        self.address, self.port, self.asked = address, port, []

    async def resolve(self, host, port=0, family=socket.AF_INET):
        self.asked.append(host)
        record = {"hostname": host, "host": self.address, "port": self.port or port, "family": socket.AF_INET}
        return [{**record, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.1.2.3"])
async def test_a_name_on_the_list_that_points_to_a_private_address_is_refused(address):
    remote = RemoteFiles(["hub.test"], PublicResolver(FakeResolver(address)))
    with pytest.raises(DownloadRefused) as caught:
        await remote.ask(HUB)
    assert caught.value.code == "address_not_public"


@asynccontextmanager
async def host(handler, hosts=("localhost",)) -> AsyncIterator[tuple[RemoteFiles, FakeResolver]]:
    """A host of HTTPS on this machine, and what asks it as if it were elsewhere."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / "server.crt", TLS / "server.key")
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    resolver = FakeResolver("127.0.0.1", runner.addresses[0][1])
    trust = ssl.create_default_context(cafile=str(TLS / "server.crt"))
    try:
        yield RemoteFiles(hosts, resolver, trust), resolver
    finally:
        await runner.cleanup()


async def test_a_hub_says_size_and_digest_and_its_redirects_are_followed_to_listed_hosts_alone():
    asked = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append((request.method, request.path, request.headers.get("Range"), request.headers.get("Cookie")))
        if request.path == "/hub":
            headers = {"Location": "/file?signed=%2Fa%7E", "X-Linked-Size": str(len(FILE)), "Set-Cookie": "a=b"}
            return web.Response(status=302, headers={**headers, "X-Linked-ETag": f'"{DIGEST}"'})
        if request.path == "/away":
            return web.Response(status=302, headers={"Location": "https://elsewhere.test/file"})
        if request.path == "/plain":
            return web.Response(status=307, headers={"Location": "http://localhost/file"})
        if request.path == "/round":
            return web.Response(status=308, headers={"Location": "/round"})
        assert request.raw_path in ("/file?signed=%2Fa%7E", "/file")
        return web.Response(body=FILE[10:], status=206, headers={"Content-Range": f"bytes 10-9/{len(FILE)}"})

    async with host(answer) as (remote, resolver):
        found = await remote.ask("https://localhost/hub")
        assert found == RemoteFile("https://localhost/hub", "localhost", len(FILE), DIGEST)
        assert b"".join([chunk async for chunk in remote.read("https://localhost/hub", 10)]) == FILE[10:]
        for path, code in (("away", "host_not_allowed"), ("plain", "bad_address"), ("round", "too_many_redirects")):
            with pytest.raises(DownloadRefused) as caught:
                await remote.ask(f"https://localhost/{path}")
            assert caught.value.code == code
    assert set(resolver.asked) == {"localhost"}
    assert asked[:3] == [
        ("HEAD", "/hub", None, None), ("GET", "/hub", "bytes=10-", None), ("GET", "/file", "bytes=10-", None),
    ]  # fmt: skip


class FakeHost:
    """A remote host that says and sends what a test wants; `cuts` are where its connections break."""

    def __init__(self, data: bytes = FILE, size: int | None = None, sha256: str = DIGEST, cuts=()) -> None:
        self.data, self.size, self.sha256, self.cuts = data, len(data) if size is None else size, sha256, list(cuts)
        self.starts: list[int] = []
        self.holds = False

    async def ask(self, url: str) -> RemoteFile:
        return RemoteFile(url, "hub.test", self.size, self.sha256)

    async def read(self, url: str, start: int = 0) -> AsyncIterator[bytes]:
        self.starts.append(start)
        end = self.cuts.pop(0) if self.cuts else len(self.data)
        for at in range(start, end, 100_000):
            yield self.data[at : min(end, at + 100_000)]
        if self.holds:
            await asyncio.Event().wait()
        if end < len(self.data):
            raise aiohttp.ClientPayloadError("cut")


def downloads_in(folder: Path, remote: FakeHost) -> Downloads:
    async def at_once(seconds: float) -> None:
        return None

    made = Downloads(settings_in(folder).folders, remote, Feed(), itertools.count().__next__, at_once)  # type: ignore[arg-type]
    made.load()
    return made


async def settled(downloads: Downloads) -> Download:
    for _ in range(500):
        (record,) = downloads.list()
        if record.state not in ("waiting", "running"):
            return record
        await asyncio.sleep(0.01)
    raise AssertionError(record)


async def received(downloads: Downloads, num_bytes: int) -> None:
    for _ in range(500):
        if downloads.list()[0].received_bytes >= num_bytes:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(downloads.list())


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "models").rglob("*") if path.is_file())


async def test_a_file_gets_its_name_when_all_of_it_came_over_broken_connections(tmp_path):
    remote = FakeHost(cuts=[300_000, 300_001, 700_000])
    downloads = downloads_in(tmp_path, remote)
    await downloads.start(Wish("loras", "deep/m.safetensors", HUB, DIGEST.upper()))
    record = await settled(downloads)
    assert (record.state, record.received_bytes, record.error) == ("done", len(FILE), "")
    assert remote.starts == [0, 300_000, 300_001, 700_000]
    assert (tmp_path / "models" / "loras" / "deep" / "m.safetensors").read_bytes() == FILE
    assert files(tmp_path) == ["m.safetensors"]
    with pytest.raises(AtelierError, match="there already"):
        await downloads.start(Wish("loras", "deep/m.safetensors", HUB))


@pytest.mark.parametrize(
    ("remote", "sha256", "words"),
    [(FakeHost(FILE[:-1] + b"x"), "", "digest is another"), (FakeHost(FILE + b"x", len(FILE)), "", "more than it said"),
     (FakeHost(b"MZ" * 40, sha256=hashlib.sha256(b"MZ" * 40).hexdigest()), "", "no safetensors"),
     (FakeHost(FILE, sha256=""), hashlib.sha256(b"other").hexdigest(), "digest is another")],
)  # fmt: skip
async def test_what_is_not_what_it_should_be_is_removed(tmp_path, remote, sha256, words):
    downloads = downloads_in(tmp_path, remote)
    await downloads.start(Wish("checkpoints", "m.safetensors", HUB, sha256))
    record = await settled(downloads)
    assert record.state == "failed"
    assert words in record.error
    assert files(tmp_path) == []


async def test_a_part_outlives_the_server_and_goes_on_when_it_is_told_to_and_a_cancelled_one_is_gone(tmp_path):
    remote = FakeHost(cuts=[400_000])
    remote.holds = True
    first = downloads_in(tmp_path, remote)
    begun = await first.start(Wish("vae", "m.safetensors", HUB))
    await received(first, 400_000)
    await first.close()
    assert files(tmp_path) == [f".{begun.id}.part"]

    again = FakeHost()
    second = downloads_in(tmp_path, again)
    assert (second.list()[0].state, second.list()[0].received_bytes, again.starts) == ("stopped", 400_000, [])
    second.resume(begun.id)
    assert (await settled(second)).state == "done"
    assert (again.starts, files(tmp_path)) == ([400_000], ["m.safetensors"])

    third = downloads_in(tmp_path, remote)
    held = await third.start(Wish("vae", "n.safetensors", HUB))
    await received(third, 400_000)
    await third.remove(held.id)
    assert (third.list(), files(tmp_path)) == ([], ["m.safetensors"])
    assert json.loads((tmp_path / "user" / ".atelier" / "downloads.json").read_text()) == []


NAMES = [
    ("loras", "m.ckpt"), ("loras", "m.safetensors.py"), ("loras", "../m.safetensors"), ("loras", "/m.safetensors"),
    ("loras", ".m.safetensors"), ("loras", "a/../../m.safetensors"), ("loras", "c:\\m.safetensors"),
    ("loras", "a\\..\\..\\m.safetensors"), ("loras", "m\0.safetensors"), ("custom_nodes", "m.safetensors"),
    ("configs", "m.safetensors"), ("diffusers", "m.safetensors"), ("nowhere", "m.safetensors"),
]  # fmt: skip


async def test_a_running_server_refuses_other_hosts_other_names_and_other_digests(tmp_path):
    async with running(settings_in(tmp_path), None) as server:
        for folder, name in NAMES:
            wish = {"folder": folder, "name": name, "url": "https://huggingface.co/m.safetensors"}
            for path in ("/downloads", "/downloads/offer"):
                status, answer = await server.call("POST", path, json=wish)
                assert status in (400, 404, 422), (folder, name, answer)
        wish = {"folder": "loras", "name": "m.safetensors"}
        for url in ("https://127.0.0.1/m", "https://localhost/m", "http://huggingface.co/m", "https://evil.test/m"):
            status, answer = await server.call("POST", "/downloads", json={**wish, "url": url})
            assert (status, answer["error"]["code"] in ("bad_address", "host_not_allowed")) == (422, True)
        assert (await server.call("POST", "/downloads", json={**wish, "url": HUB, "sha256": "x" * 64}))[0] == 422
        assert await server.call("GET", "/downloads") == (200, [])
        assert (await server.call("DELETE", "/downloads/nothing"))[0] == 404
        assert (await server.call("POST", "/downloads/nothing/resume"))[0] == 404
        headers = {"Origin": "https://evil.test"}
        assert (await server.call("POST", "/downloads", json={**wish, "url": HUB}, headers=headers))[0] == 403
    assert files(tmp_path) == []
