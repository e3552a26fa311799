from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

from aiohttp import web

from engine.compat.comfyui.worker import Host, PackDesk, RecordedHandler, RecordedRoute
from engine.compat.comfyui.worker.web_calls import WebCalls
from engine.core.settings import Settings
from engine.protocol.messages import CallPack, PackReply


def get(target: str, timeout_s: float = 10.0) -> CallPack:
    return CallPack(5, "request", {"method": "GET", "target": target, "headers": [], "remote": ""}, b"", timeout_s)


async def test_a_handler_that_takes_too_long_is_ended_and_the_reply_says_so(settings: Settings) -> None:
    ended = asyncio.Event()

    async def wait(request: web.Request) -> web.Response:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return web.Response()

    calls = WebCalls(settings.folders)
    calls.add(RecordedRoute("GET", "/wait", wait, "slow"))
    reply = await calls.answer(get("/wait", 0.5))
    assert (reply.request, reply.head["status"]) == (5, 504)
    assert json.loads(reply.body)["error"]["type"] == "pack_too_slow"
    await asyncio.wait_for(ended.wait(), 60)


async def test_a_stream_without_end_is_ended_at_its_time(settings: Settings) -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"data: tick\n\n")
            await asyncio.sleep(0.01)

    calls = WebCalls(settings.folders)
    calls.add(RecordedRoute("GET", "/events", stream, "ticker"))
    assert (await calls.answer(get("/events", 0.1))).head["status"] == 504


async def test_an_application_of_a_pack_is_served_below_its_prefix(settings: Settings) -> None:
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text=request.match_info["name"])

    inner = web.Application()
    inner.router.add_get("/hello/{name}", hello)
    calls = WebCalls(settings.folders)
    calls.add(RecordedRoute("SUBAPP", "/inner", inner, "apps"))
    reply = await calls.answer(get("/inner/hello/you"))
    assert (reply.head["status"], reply.body) == (200, b"you")
    assert (await calls.answer(get("/inner/other"))).head["status"] == 404


def changed(settings: Settings, *functions: Any, timeout_s: float = 10.0) -> PackReply:
    host = Host(settings, prompt_handlers=[RecordedHandler(function, "pack") for function in functions])
    replies: list[Any] = []
    PackDesk(host).answer(CallPack(1, "submission", {}, b'{"prompt": {}}', timeout_s), replies.append)
    deadline = time.monotonic() + 60
    while not replies and time.monotonic() < deadline:
        time.sleep(0.01)
    return replies[0]


def test_job_handlers_see_what_the_ones_before_them_made_of_the_job(settings: Settings) -> None:
    async def second(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "second": data["first"] + 1}

    reply = changed(settings, lambda data: {**data, "first": 1}, second)
    assert json.loads(reply.body) == {"prompt": {}, "first": 1, "second": 2}
    assert reply.head == {"problems": []}


def test_a_job_handler_that_returns_nothing_is_skipped_and_named(settings: Settings) -> None:
    reply = changed(settings, lambda data: data.clear())
    assert reply.body == b""
    assert reply.head["problems"] == [
        "pack failed to look at the job: TypeError: it returned NoneType instead of the JSON it was given"
    ]


def test_a_job_handler_that_is_too_slow_is_skipped_and_named(settings: Settings) -> None:
    released = threading.Event()
    reply = changed(settings, lambda data: released.wait(60), timeout_s=0.1)
    released.set()
    assert reply.body == b""
    assert reply.head["problems"] == ["pack did not look at the job in time; it goes on without."]
