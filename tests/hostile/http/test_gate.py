"""Hosts, origins, content types, tokens: what is refused before any handler."""

from __future__ import annotations

import json

import aiohttp
import pytest

from engine.core.errors import SettingsError
from engine.server.app import running_server, with_token
from tests.hostile.http.raw_http import raw_status
from tests.server_harness import FAKE_WORKER, ROOT, running, settings_in, toy

JSON = {"Content-Type": "application/json"}
BODY = json.dumps({"prompt": toy("Show", text="x")})


async def num_jobs(server) -> int:
    return (await server.engine.list()).total


FOREIGN_HOSTS = (
    ["evil.example", "evil.example:8188", "localhost.", "localhost.evil.example", "user@localhost", "2130706433",
     "0x7f000001", "0177.0.0.1", "127.1", "[::ffff:8.8.8.8]", "[::1", "8.8.8.8", "", " ", "localhost:8188:1",
     "local host", "127.0.0.1.nip.io", "169.254.169.254", "0.0.0.0"]
)  # fmt: skip


async def test_a_foreign_host_name_is_refused_before_any_handler(server):
    for host in FOREIGN_HOSTS:
        for path in ("/", "/api/v1/system/health", "/nothing", "/api/v1/jobs"):
            status = await raw_status(server.url, f"GET {path} HTTP/1.1\nHost: {host}\nConnection: close")
            assert status in (400, 403), (host, path)


async def test_loopback_names_are_served(server):
    for host in ("localhost", "127.0.0.1", "[::1]", "LOCALHOST:1234", "127.0.0.5"):
        head = f"GET /api/v1/system/health HTTP/1.1\nHost: {host}\nConnection: close"
        assert await raw_status(server.url, head) == 200, host


async def test_a_request_with_two_hosts_or_none_is_refused(server):
    two = "GET / HTTP/1.1\nHost: localhost\nHost: evil.example\nConnection: close"
    none = "GET / HTTP/1.1\nConnection: close"
    assert await raw_status(server.url, two) in (400, 403)
    assert await raw_status(server.url, none) in (400, 403)


FOREIGN = (
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://localhost:1"}, {"Origin": "http://["},
    {"Origin": "file://"}, {"Origin": ""}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
)  # fmt: skip
SIMPLE_TYPES = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x")


async def test_a_state_change_from_another_site_is_refused(server):
    for headers in FOREIGN:
        for kind in ("application/json", *SIMPLE_TYPES):
            for path in ("/jobs", "/queue/pause", "/queue/clear"):
                status, _ = await server.call("POST", path, data=BODY, headers={**headers, "Content-Type": kind})
                assert status in (403, 415), (headers, kind, path)
    assert await num_jobs(server) == 0
    assert not server.engine.counts().is_paused


async def test_simple_content_types_are_no_way_to_change_state(server):
    for kind in SIMPLE_TYPES:
        status, answer = await server.call("POST", "/jobs", data=BODY, headers={"Content-Type": kind})
        assert (status, answer["error"]["code"]) == (415, "wrong_content_type")
    assert await num_jobs(server) == 0


async def test_a_websocket_from_another_site_is_refused(server):
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            async with server.session.ws_connect(f"{server.url}/ws", headers=headers):
                pass
        assert caught.value.status == 403


async def test_reads_from_another_site_are_refused_but_opening_the_page_is_not(server):
    embedded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    opened = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    framed = {**opened, "Sec-Fetch-Dest": "iframe"}
    assert (await server.call("GET", "/jobs", headers=embedded))[0] == 403
    assert (await server.call("GET", "/", headers=framed))[0] == 403
    assert (await server.call("GET", "/", headers=opened))[0] == 200


async def test_the_own_origin_is_served(server):
    headers = {"Origin": server.url, "Sec-Fetch-Site": "same-origin", **JSON}
    assert (await server.call("POST", "/jobs", data=BODY, headers=headers))[0] == 201


async def test_an_allowed_origin_replaces_the_origin_check(tmp_path):
    async with running(settings_in(tmp_path, cors_origin="https://editor.example")) as server:
        good = {"Origin": "https://editor.example", "Sec-Fetch-Site": "cross-site", **JSON}
        async with server.session.post(f"{server.url}/api/v1/jobs", data=BODY, headers=good) as reply:
            assert reply.status == 201
            assert reply.headers["Access-Control-Allow-Origin"] == "https://editor.example"
        bad = {**good, "Origin": "https://other.example"}
        assert (await server.call("POST", "/jobs", data=BODY, headers=bad))[0] == 403
        async with server.session.options(f"{server.url}/api/v1/jobs", headers=good) as reply:
            assert (reply.status, await reply.text()) == (200, "")


async def test_pages_carry_a_strict_policy_and_no_inline_script(server):
    async with server.session.get(server.url) as reply:
        policy, text = reply.headers["Content-Security-Policy"], await reply.text()
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "<script>" not in text
    assert "onclick" not in text
    assert "style=" not in text


# ------------------------------------------------------------------ tokens


async def test_a_server_that_others_can_reach_does_not_start_without_a_token(tmp_path):
    settings = settings_in(tmp_path, listen=("0.0.0.0",))
    with pytest.raises(SettingsError) as caught:
        async with running_server(settings, worker_command=FAKE_WORKER):
            pass
    assert caught.value.code == "token_required"
    made = with_token(settings).token
    assert len(made) >= 40
    assert made != with_token(settings).token
    assert with_token(settings_in(tmp_path)).token is None


async def test_with_a_token_nothing_is_served_without_it(tmp_path):
    async with running(settings_in(tmp_path, token="right-token")) as server:
        for path in (
            "/",
            "/api/v1/jobs",
            "/api/v1/system/health",
            "/api/v1/openapi.json",
            "/nothing",
            "/ws",
            "/status.js",
        ):
            async with server.session.get(server.url + path) as reply:
                assert (path, reply.status) == (path, 401)
        good = {"Authorization": "Bearer right-token"}
        assert (await server.call("GET", "/jobs", headers=good))[0] == 200


async def test_a_token_in_the_address_becomes_a_cookie(tmp_path):
    async with running(settings_in(tmp_path, token="right-token")) as server:
        async with server.session.get(f"{server.url}/?token=right-token&x=1", allow_redirects=False) as reply:
            assert (reply.status, reply.headers["Location"]) == (303, "/?x=1")
            cookie = reply.headers["Set-Cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            assert "right-token" not in cookie
        value = cookie.split(";")[0]
        assert (await server.call("GET", "/jobs", headers={"Cookie": value}))[0] == 200
        assert (await server.call("GET", "/jobs", headers={"Cookie": value + "0"}))[0] == 401


async def test_wrong_tokens_are_limited_and_never_logged(tmp_path):
    async with running(settings_in(tmp_path, token="right-token")) as server:
        statuses = []
        for number in range(1000):
            wrong = {"Authorization": f"Bearer wrong-{number}"}
            statuses.append((await server.call("GET", "/jobs", headers=wrong))[0])
        assert statuses[:10] == [401] * 10
        assert set(statuses[10:]) == {429}
        log = " ".join(entry.text for entry in server.engine.services.logs.entries())
        assert "right-token" not in log
    assert "right-token" not in (tmp_path / "user" / ".atelier" / "logs" / "server.log").read_text()


def test_the_worker_gets_no_secrets():
    from engine.server.worker_process import worker_environment

    given = {
        "PATH": "/bin", "HOME": "/root", "CUDA_VISIBLE_DEVICES": "0", "AWS_SECRET_ACCESS_KEY": "x", "HF_TOKEN": "x",
        "OPENAI_API_KEY": "x", "DATABASE_URL": "x", "GITHUB_PAT": "x", "DB_PASSWORD": "x", "PYTHONPATH": "/lib",
    }  # fmt: skip
    clean = worker_environment(given)
    added = {"PYTHONPATH", "PYTHONUNBUFFERED", "PYTORCH_ALLOC_CONF", "THP_MEM_ALLOC_ENABLE"}
    added |= {"ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"}
    assert {"PATH", "HOME", "CUDA_VISIBLE_DEVICES", *added} >= set(clean) >= {"PATH", "HOME", "PYTHONUNBUFFERED"}
    assert clean["PYTHONPATH"].startswith(str(ROOT))
