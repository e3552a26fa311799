"""Compressed answers: only when the server was told to and the client takes them."""

from __future__ import annotations

import gzip
import json

import pytest

from tests.server_harness import running, settings_in


@pytest.mark.parametrize(
    ("is_on", "accepted", "encoding"),
    [(True, "gzip, deflate", "gzip"), (True, "identity", None), (True, "deflate", None), (False, "gzip", None)],
)
async def test_json_is_compressed_when_server_and_client_want_it(tmp_path, is_on, accepted, encoding):
    async with running(settings_in(tmp_path, compress_responses=is_on)) as server:
        async with server.session.get(
            f"{server.url}/api/v1/jobs", headers={"Accept-Encoding": accepted}, auto_decompress=False
        ) as reply:
            raw = await reply.read()
        assert reply.headers.get("Content-Encoding") == encoding
        assert reply.headers.get("Vary") == ("Accept-Encoding" if is_on else None)
        assert "jobs" in json.loads(gzip.decompress(raw) if encoding else raw)


async def test_pages_are_not_compressed(tmp_path):
    async with (
        running(settings_in(tmp_path, compress_responses=True)) as server,
        server.session.get(f"{server.url}/", headers={"Accept-Encoding": "gzip"}) as reply,
    ):
        assert reply.content_type == "text/html"
        assert "Content-Encoding" not in reply.headers
