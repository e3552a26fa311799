from __future__ import annotations

import aiohttp
import pytest

from engine.core.folders import Folders

from .conftest import Client


@pytest.fixture(autouse=True)
async def packs_are_loaded(client: Client) -> None:
    await client.get("/object_info/SaveImage")


async def test_a_route_answers_with_and_without_the_prefix(client: Client) -> None:
    for prefix in ("", "/api"):
        assert await client.get(f"{prefix}/samples/hello?name=w%C3%B6rld") == {"hello": "wörld"}


async def test_status_headers_and_parts_of_the_path_go_both_ways(client: Client) -> None:
    headers = {"Authorization": "Bearer secret"}
    url = client.address + "/samples/echo/word"
    async with client.http.post(url, json=[1, "é"], headers=headers) as reply:
        assert (reply.status, await reply.json()) == (201, {"got": [1, "é"]})
        assert (reply.headers["X-Word"], reply.headers["X-Seen"]) == ("word", "False")
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
    await client.post("/samples/echo/NOT", [1], status=404)


async def test_forms_files_views_and_streams_that_end_are_served(client: Client, folders: Folders) -> None:
    form = aiohttp.FormData({"name": "a"})
    form.add_field("file", b"x" * 300_000, filename="a.bin")
    async with client.http.post(client.address + "/samples/upload", data=form) as reply:
        assert await reply.text() == "a 300000"
    folders.input.mkdir(exist_ok=True)
    (folders.input / "route.txt").write_text("from the input folder")
    assert await client.get("/samples/file?name=route.txt") == b"from the input folder"
    assert await client.get("/samples/stream") == b"part part part "
    assert await client.get("/samples/view") == b"got"
    async with client.http.delete(client.address + "/samples/view") as reply:
        assert reply.status == 204
    async with client.http.put(client.address + "/samples/put") as reply:
        assert await reply.text() == "put"
    assert b"every kind" in await client.get("/samples/files/__init__.py")


async def test_files_outside_the_folders_of_packs_are_not_sent(client: Client) -> None:
    body = await client.get("/samples/file?name=../../../../../../etc/passwd", 403)
    assert body["error"]["type"] == "path_outside_root"
    await client.get("/samples/file?name=../user/.atelier/atelier.db", 403)
    await client.get("/samples/files/..%2F..%2Fuser", 404)
    await client.get("/samples/secret/etc/passwd", 404)


async def test_a_handler_that_raises_is_an_error_that_names_the_pack(client: Client) -> None:
    body = await client.get("/samples/fail", 500)
    assert body["error"]["type"] == "pack_failed"
    assert body["error"]["message"] == "server_pack failed to answer GET /samples/fail: ValueError: no luck"
    assert body["error"]["extra_info"] == {"pack": "server_pack"}
    body = await client.get("/samples/nothing", 500)
    assert "returned NoneType instead of a response" in body["error"]["message"]
    assert await client.get("/samples/refuse", 409) == b"not now"


async def test_sockets_of_packs_are_refused_in_words(client: Client) -> None:
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    body = await client.get("/samples/hello", 501, headers=headers)
    assert "sockets of packs are not served" in body["error"]["message"]


async def test_the_gate_stands_before_routes_of_packs_too(client: Client) -> None:
    await client.post("/samples/echo/a", 1, status=403, headers={"Origin": "http://elsewhere.example"})
    await client.get("/samples/hello", 403, headers={"Host": "elsewhere.example"})


async def test_built_in_routes_win_and_the_report_of_the_pack_says_so(client: Client) -> None:
    assert set(await client.get("/object_info/SaveImage")) == {"SaveImage"}
    reports = {pack["name"]: pack for pack in await client.get("/api/v1/catalog/packs")}
    report = reports["server_pack"]
    shadowed = "The route GET /object_info/{node_class} is not served: the path is the server's own."
    assert shadowed in report["warnings"]
    assert any(
        "/samples/secret is not served: the folder / is none that packs may serve" in t for t in report["warnings"]
    )
    assert "POST /samples/echo/{word:[a-z]+}" in report["routes"]
    assert reports["classic_pack"]["routes"] == []


async def test_a_route_answers_while_a_node_runs(client: Client, folders: Folders) -> None:
    stop = folders.temp / "stop"
    try:
        async with client.listen("busy") as listener:
            prompt = {"1": {"class_type": "SampleSleep", "inputs": {"seconds": 30.0}}}
            prompt_id = (await client.queue(prompt, client_id="busy"))["prompt_id"]
            await listener.until("executing")
            assert await client.get("/samples/hello") == {"hello": "world"}
            assert (await client.get("/prompt"))["exec_info"]["queue_remaining"] == 1
            stop.touch()
            await client.finished(prompt_id)
    finally:
        stop.unlink(missing_ok=True)


async def test_an_event_of_a_pack_reaches_clients_from_a_route_and_from_a_node(client: Client) -> None:
    async with client.listen("events") as listener:
        await client.get("/samples/event")
        assert (await listener.until("samples.event"))["data"] == {"is_loop": True}
        prompt = {"4": {"class_type": "SampleSteps", "inputs": {"count": 2}}}
        await client.queue(prompt, client_id="someone else")
        assert (await listener.until("samples.done"))["data"] == {"node": "4", "count": 2}


# ------------------------------------------------------------------ submitted jobs


def join(first: str) -> dict[str, object]:
    return {
        "1": {"class_type": "SampleJoin", "inputs": {"first": first, "second": "!"}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }


async def test_a_job_handler_changes_the_job_before_it_is_checked(client: Client) -> None:
    entry = await client.run(join("REPLACE ME"))
    assert entry["outputs"]["2"]["text"] == ["replaced!"]
    assert entry["prompt"][2]["1"]["inputs"]["first"] == "replaced"


async def test_a_job_handler_that_raises_is_skipped_and_named(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    entry = await client.run(join("FAIL NOW"))
    assert entry["outputs"]["2"]["text"] == ["FAIL NOW!"]
    assert "server_pack failed to look at the job: RuntimeError: cannot read that" in caplog.text
