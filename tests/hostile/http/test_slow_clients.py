"""Clients that never finish a request do not keep their place; clients that are being served do."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest_asyncio

from engine.server.connections import ConnectionLimits
from tests.server_harness import running, settings_in, toy

HEAD = b"GET /api/v1/system/health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest_asyncio.fixture
async def server(tmp_path):
    """A server of little patience."""
    limits = ConnectionLimits(head_s=0.4, idle_s=0.8, max_waiting=20)
    async with running(settings_in(tmp_path), limits=limits) as found:
        yield found


@asynccontextmanager
async def connected(server):
    parts = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """What comes until the server closes the connection; nothing where it resets it."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_a_connection_that_sends_nothing_is_closed(server):
    async with connected(server) as (reader, _):
        assert await asyncio.wait_for(rest_of(reader), 60) == b""


async def test_a_head_that_arrives_byte_by_byte_is_cut_off(server):
    async with connected(server) as (reader, writer):
        answer = asyncio.create_task(rest_of(reader))
        num_sent = 0
        while not answer.done() and num_sent < 1000:
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "[num_sent : num_sent + 1] or b"x")
            num_sent += 1
            await asyncio.sleep(0.02)
        assert num_sent < 1000
        assert await answer == b""


async def test_a_second_head_that_never_ends_is_cut_off_too(server):
    async with connected(server) as (reader, writer):
        writer.write(HEAD)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
        writer.write(HEAD[:-2])
        assert b"HTTP/1.1" not in await asyncio.wait_for(rest_of(reader), 60)


async def test_an_answer_may_take_longer_than_a_head(server):
    job = await server.submit(toy("Sleep", seconds=1.5))
    status, record = await server.call("GET", f"/jobs/{job['id']}/wait?seconds=60")
    assert (status, record["state"]) == (200, "succeeded")


async def test_a_websocket_that_says_nothing_stays_open(server):
    async with server.session.ws_connect(f"{server.url}/ws") as socket:
        await socket.receive_json(timeout=60)
        await asyncio.sleep(1.5)
        job = await server.submit(toy("Show", text="a"))
        while (await socket.receive_json(timeout=60))["data"].get("prompt_id") != job["id"]:
            pass


async def test_connections_beyond_the_number_that_may_wait_are_closed_and_a_good_client_is_served(tmp_path):
    limits = ConnectionLimits(head_s=60.0, idle_s=60.0, max_waiting=20)
    async with running(settings_in(tmp_path), limits=limits) as server:
        parts = urlsplit(server.url)
        opened = [await asyncio.open_connection(parts.hostname, parts.port) for _ in range(60)]
        ends = [asyncio.create_task(rest_of(reader)) for reader, _ in opened]
        done: set[asyncio.Task[bytes]] = set()
        while len(done) < 40:
            done, _ = await asyncio.wait(ends, timeout=60, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0.01)
        assert await server.call("GET", "/system/health") == (200, {"status": "ok"})
        for _, writer in opened:
            writer.close()
        await asyncio.gather(*ends)
