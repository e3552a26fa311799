"""Signing in with a browser: a page that asks for the token, and programs that are told in JSON."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from engine.server.pages import add_pages
from engine.server.security import Gate
from tests.server_harness import settings_in

TOKEN = "a-token-of-this-test"
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def client(folder: Path) -> TestClient:
    settings = replace(settings_in(folder), token=TOKEN)
    app = web.Application(middlewares=[Gate(settings).middleware()])
    add_pages(app, settings)
    return TestClient(TestServer(app))


async def test_a_browser_without_a_token_is_asked_for_it_by_a_page_without_script(tmp_path: Path) -> None:
    async with client(tmp_path) as browser:
        reply = await browser.get("/", headers=BROWSER)
        page = await reply.text()
        policy = reply.headers["Content-Security-Policy"]
    assert (reply.status, reply.content_type) == (401, "text/html")
    assert 'name="token"' in page
    assert "<script" not in page
    assert "not the token" not in page
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy, "the page's own policy refuses its style"
    assert "script-src" not in policy
    assert "default-src 'none'" in policy


async def test_what_the_page_sends_becomes_a_cookie_and_a_wrong_token_is_told(tmp_path: Path) -> None:
    async with client(tmp_path) as browser:
        wrong = await browser.get("/", params={"token": "<b>no"}, headers=BROWSER)
        assert wrong.status == 401
        text = await wrong.text()
        assert "not the token" in text
        assert "<b>no" not in text
        right = await browser.get("/", params={"token": TOKEN}, headers=BROWSER, allow_redirects=False)
        assert (right.status, right.headers["Location"]) == (303, "/")
        assert (await browser.get("/", headers=BROWSER)).status == 200


async def test_programs_are_told_in_json(tmp_path: Path) -> None:
    async with client(tmp_path) as program:
        reply = await program.get("/")
        assert (reply.status, (await reply.json())["error"]["code"]) == (401, "token_required")
