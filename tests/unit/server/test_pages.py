"""The pages a browser gets: the built editor with its caching and policy, or the status page."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from engine.core.settings import Settings
from engine.server.pages import add_pages
from engine.server.security import Gate
from tests.server_harness import settings_in


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture
def editor(tmp_path: Path) -> Path:
    root = tmp_path / "dist"
    (root / "static").mkdir(parents=True)
    (root / "index.html").write_text("<script type=module src=/static/main-1a2b.js></script>")
    (root / "static" / "main-1a2b.js").write_text("let plain;")
    (root / "static" / "main-1a2b.js.gz").write_bytes(gzip.compress(b"let plain;"))
    (tmp_path / "secret.txt").write_text("no")
    return root


def client(settings: Settings) -> TestClient:
    app = web.Application(middlewares=[Gate(settings).middleware()])
    add_pages(app, settings)
    return TestClient(TestServer(app))


async def test_the_editor_page_is_asked_for_again_and_allows_no_inline_script(settings: Settings, editor: Path) -> None:
    async with client(replace(settings, editor_root=editor)) as browser:
        reply = await browser.get("/")
        assert "main-1a2b.js" in await reply.text()
        assert reply.headers["Cache-Control"] == "no-cache"
        assert "script-src 'self';" in reply.headers["Content-Security-Policy"]
        assert "unsafe" not in reply.headers["Content-Security-Policy"]


async def test_hashed_files_are_kept_for_ever_and_packed_for_those_who_take_it(
    settings: Settings, editor: Path
) -> None:
    async with client(replace(settings, editor_root=editor)) as browser:
        for accepted, encoding in (("gzip", "gzip"), ("identity", None)):
            reply = await browser.get("/static/main-1a2b.js", headers={"Accept-Encoding": accepted})
            assert await reply.text() == "let plain;"
            assert reply.headers.get("Content-Encoding") == encoding
            assert reply.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            assert reply.headers["Content-Type"] == "text/javascript; charset=utf-8"


async def test_nothing_outside_the_editor_is_served(settings: Settings, editor: Path) -> None:
    async with client(replace(settings, editor_root=editor)) as browser:
        for path in ("/static/../../secret.txt", "/static/%2e%2e/%2e%2e/secret.txt", "/static/none.js", "/secret.txt"):
            assert (await browser.get(path)).status == 404


async def test_the_status_page_is_at_the_root_without_an_editor_and_beside_it_with_one(
    settings: Settings, editor: Path
) -> None:
    async with client(settings) as browser:
        assert "The editor is not here" in await (await browser.get("/")).text()
    async with client(replace(settings, editor_root=editor)) as browser:
        assert "Clear waiting" in await (await browser.get("/status")).text()


async def test_a_given_front_end_goes_before_the_editor(settings: Settings, editor: Path, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "index.html").write_text("mine")
    async with client(replace(settings, editor_root=editor, front_end_root=tmp_path / "own")) as browser:
        assert await (await browser.get("/")).text() == "mine"
