from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from engine.compat.comfyui.server.requests import add_routes
from engine.compat.comfyui.server.user_files import UserFiles
from engine.compat.comfyui.server.user_routes import ROUTES, USER_FILES
from engine.core.folders import Folders

from .conftest import Client, make_settings


async def call(client: Client, method: str, path: str, status: int, **options: Any) -> Any:
    async with client.http.request(method, URL(client.address + path, encoded=True), **options) as reply:
        data = await reply.read()
        assert reply.status == status, data
        return json.loads(data) if reply.content_type == "application/json" else data


async def test_files_are_stored_listed_moved_and_removed(client: Client, folders: Folders) -> None:
    assert await call(client, "POST", "/userdata/workflows%2Ft.json", 200, data=b'{"a":1}') == "workflows/t.json"
    assert (folders.user / "default" / "workflows" / "t.json").read_bytes() == b'{"a":1}'
    assert await call(client, "GET", "/api/userdata/workflows%2Ft.json", 200) == b'{"a":1}'
    facts = await call(client, "POST", "/userdata/workflows%2Fsub%2Fu.json?full_info=true", 200, data=b"12")
    assert (facts["path"], facts["size"]) == ("workflows/sub/u.json", 2)
    await call(client, "POST", "/userdata/workflows%2Ft.json?overwrite=false", 409, data=b"x")
    assert await client.get("/userdata?dir=workflows") == ["t.json"]
    assert await client.get("/userdata?dir=workflows&recurse=true") == ["t.json", "sub/u.json"]
    split = await client.get("/userdata?dir=workflows&recurse=true&split=true")
    assert split == [["t.json", "t.json"], ["sub/u.json", "sub", "u.json"]]
    full = await client.get("/userdata?dir=workflows&full_info=true&split=true")
    assert [(e["path"], e["size"]) for e in full] == [("t.json", 7)]
    tree = await client.get("/v2/userdata?path=workflows")
    assert [(e["name"], e["path"], e["type"]) for e in tree] == [
        ("sub", "workflows/sub", "directory"), ("t.json", "workflows/t.json", "file"),
        ("u.json", "workflows/sub/u.json", "file"),
    ]  # fmt: skip
    moved = await call(client, "POST", "/userdata/workflows%2Ft.json/move/workflows%2Fnew%2Fv.json", 200)
    assert moved == "workflows/new/v.json"
    await call(client, "POST", "/userdata/workflows%2Ft.json/move/workflows%2Fv.json", 404)
    target = "/userdata/workflows%2Fnew%2Fv.json/move/workflows%2Fsub%2Fu.json"
    await call(client, "POST", f"{target}?overwrite=false", 409)
    await call(client, "POST", target, 200)
    assert await call(client, "DELETE", "/userdata/workflows%2Fsub%2Fu.json", 204) == b""
    await call(client, "DELETE", "/userdata/workflows%2Fsub%2Fu.json", 404)
    await call(client, "GET", "/userdata/workflows%2Fsub%2Fu.json", 404)


async def test_listings_refuse_as_observed(client: Client) -> None:
    await client.get("/userdata", 400)
    await client.get("/userdata?dir=no-such-folder", 404)
    await client.get("/userdata?dir=..", 403)
    await client.get("/v2/userdata?path=..", 400)
    await client.get("/v2/userdata?path=no-such-folder", 404)


async def test_settings_are_merged_and_read_one_by_one(client: Client, folders: Folders) -> None:
    assert await client.get("/settings/Never.Set") is None
    assert await client.post("/settings", {"A.b": 1, "C": [1]}) == b""
    assert await client.post("/api/settings/A.b", {"nested": True}) == b""
    assert await client.get("/settings/A.b") == {"nested": True}
    stored = await client.get("/settings")
    assert stored["C"] == [1]
    assert json.loads((folders.user / "default" / "comfy.settings.json").read_text()) == stored
    await client.post("/settings", [1], 400)


async def test_a_single_user_server_says_so(client: Client) -> None:
    body = await client.get("/users")
    assert body["storage"] == "server"
    assert isinstance(body["migrated"], bool)


@pytest.mark.parametrize(
    "name",
    [
        "..%2F..%2Fsecret", "%2Fetc%2Fpasswd", "..%2F.atelier%2Fatelier.sqlite3", "a%00b", "a%0Ab.json", "..",
        "..%5C..%5Csecret", "C%3A%5Cx", "con", "%2E%2E%2Fusers.json",
    ],
)  # fmt: skip
async def test_no_name_leads_outside_the_users_folder(client: Client, name: str) -> None:
    for method, path in (
        ("GET", f"/userdata/{name}"),
        ("POST", f"/userdata/{name}"),
        ("DELETE", f"/userdata/{name}"),
        ("POST", f"/userdata/x.json/move/{name}"),
    ):
        async with client.http.request(
            method, URL(client.address + path, encoded=True), data=b"x" if method == "POST" else None
        ) as reply:
            assert reply.status in (403, 404, 405), (method, path, reply.status)


def test_links_out_of_the_users_folder_are_refused(tmp_path: Path) -> None:
    from engine.core.errors import ContainmentError, NotFoundError

    settings = make_settings(tmp_path)
    files = UserFiles(settings.folders, is_multi_user=False)
    (tmp_path / "secret").write_text("secret")
    root = settings.folders.user / "default"
    root.mkdir(parents=True)
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "state").symlink_to(settings.folders.data)
    for name in ("link", "state/atelier.sqlite3"):
        with pytest.raises(ContainmentError):
            files.read("default", name)
        with pytest.raises(ContainmentError):
            files.write("default", name, b"x")
    assert list(files.files(root, recurse=True)) == []
    with pytest.raises(NotFoundError):
        files.read("default", "folder/missing")


# ------------------------------------------------------------------ several users


@pytest.fixture
async def many(tmp_path: Path) -> AsyncIterator[Client]:
    """The user routes of a server started with --multi-user."""
    app = web.Application()
    app[USER_FILES] = UserFiles(make_settings(tmp_path).folders, is_multi_user=True)
    add_routes(app, ROUTES)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with aiohttp.ClientSession() as http:
        yield Client(http, f"http://127.0.0.1:{runner.addresses[0][1]}")
    await runner.cleanup()


async def test_users_are_added_and_keep_their_files_apart(many: Client) -> None:
    first = await many.post("/users", {"username": "Ann Lee"})
    second = await many.post("/users", {"username": "Bob"})
    assert first.startswith("Ann-Lee_")
    assert (await many.get("/users"))["users"] == {first: "Ann Lee", second: "Bob"}
    assert await many.post("/users", {"username": "Bob"}, 400) == {"error": "Duplicate username."}
    await many.post("/users", {"username": " "}, 400)
    await many.post("/settings", {"x": 1}, headers={"comfy-user": first})
    assert await many.get("/settings", headers={"comfy-user": first}) == {"x": 1}
    assert await many.get("/settings", headers={"comfy-user": second}) == {}


async def test_unknown_users_are_refused(many: Client) -> None:
    for name in ("nobody", "../default", ".atelier"):
        await many.get("/settings", 401, headers={"comfy-user": name})
        await many.get("/userdata?dir=x", 404, headers={"comfy-user": name})
