from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from .conftest import Client, picture, saved
from .test_queue_and_history import waiting


def previewed(source: str) -> dict[str, Any]:
    return {"class_type": "PreviewImage", "inputs": {"images": [source, 0]}}


def shapes(messages: list[dict[str, Any]], prompt_id: str) -> list[Any]:
    """Messages without ids, times and file names."""
    found: list[Any] = []
    for message in messages:
        kind, data = message["type"], message["data"]
        if kind == "status":
            found.append(("status", data["status"]["exec_info"]["queue_remaining"]))
            continue
        assert data["prompt_id"] == prompt_id
        if kind == "progress_state":
            nodes = {name: (n["state"], n["value"], n["max"]) for name, n in data["nodes"].items()}
            found.append((kind, nodes))
        elif kind in ("executing", "executed"):
            found.append((kind, data["node"]))
        elif kind == "execution_cached":
            found.append((kind, data["nodes"]))
        else:
            found.append((kind,))
    return found


RUNNING, DONE = ("running", 0.0, 1.0), ("finished", 1.0, 1.0)


async def test_the_greeting_has_the_queue_length_and_the_id(client: Client) -> None:
    async with client.listen("cidA") as listener:
        message = await listener.next()
        assert message == {"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 0}}, "sid": "cidA"}}
    async with client.listen() as listener:
        sid = (await listener.next())["data"]["sid"]  # type: ignore[index]
        assert len(sid) == 32
        int(sid, 16)


async def test_a_plain_request_for_the_socket_is_refused(client: Client) -> None:
    assert b"WebSocket" in await client.get("/ws", 400)
    assert b"WebSocket" in await client.get("/api/ws", 400)


async def test_a_run_sends_the_captured_order(client: Client) -> None:
    first = {"1": picture(color=201), "9": saved("1", "warm")}
    await client.run(first)
    prompt = {"1": picture(color=201), "2": saved("1", "ws"), "3": previewed("1")}
    async with client.listen("order") as listener:
        await listener.next()
        listener.messages.clear()
        reply = await client.queue(prompt, client_id="order")
        heard = shapes(await listener.until_idle(reply["prompt_id"]), reply["prompt_id"])
    assert heard[:4] == [("status", 1), ("status", 1), ("execution_start",), ("execution_cached", ["1"])]
    assert heard[-3:] == [("execution_success",), ("status", 0), ("executing", None)]
    middle = heard[4:-3]
    for node in ("2", "3"):
        steps = [m for m in middle if m in (("executing", node), ("executed", node))]
        assert steps == [("executing", node), ("executed", node)]
        position = middle.index(("executing", node))
        kind, nodes = middle[position - 1]
        assert kind == "progress_state"
        assert nodes[node] == RUNNING
        after = next(m for m in middle[middle.index(("executed", node)) :] if m[0] == "progress_state")
        assert after[1][node] == DONE
    states = [m[1] for m in middle if m[0] == "progress_state"]
    assert states[-1] == {"2": DONE, "3": DONE}


async def test_a_run_of_one_output_sends_exactly_the_captured_order(client: Client) -> None:
    prompt = {"1": picture(color=202), "2": saved("1", "exact")}
    async with client.listen("exact") as listener:
        await listener.next()
        listener.messages.clear()
        reply = await client.queue(prompt, client_id="exact")
        messages = await listener.until_idle(reply["prompt_id"])
    assert shapes(messages, reply["prompt_id"]) == [
        ("status", 1), ("status", 1), ("execution_start",), ("execution_cached", []),
        ("progress_state", {"1": RUNNING}), ("executing", "1"), ("progress_state", {"1": DONE}),
        ("progress_state", {"1": DONE, "2": RUNNING}), ("executing", "2"), ("executed", "2"),
        ("progress_state", {"1": DONE, "2": DONE}), ("execution_success",), ("status", 0), ("executing", None),
    ]  # fmt: skip
    executed = next(m["data"] for m in messages if m["type"] == "executed")
    assert executed == {
        "node": "2",
        "display_node": "2",
        "output": {"images": [{"filename": "exact_00001_.png", "subfolder": "", "type": "output"}]},
        "prompt_id": reply["prompt_id"],
    }
    start = next(m["data"] for m in messages if m["type"] == "execution_start")
    assert start["timestamp"] > 1_600_000_000_000
    state = next(m["data"] for m in messages if m["type"] == "progress_state")
    assert state["nodes"]["1"] == {
        "value": 0.0, "max": 1.0, "state": "running", "node_id": "1", "prompt_id": reply["prompt_id"],
        "display_node_id": "1", "parent_node_id": None, "real_node_id": "1",
    }  # fmt: skip


async def test_a_wholly_cached_run_sends_no_executing_for_its_nodes(client: Client) -> None:
    prompt = {"1": picture(color=203), "2": saved("1", "cached"), "3": previewed("1")}
    await client.run(prompt)
    async with client.listen("cached") as listener:
        await listener.next()
        listener.messages.clear()
        reply = await client.queue(prompt, client_id="cached")
        heard = shapes(await listener.until_idle(reply["prompt_id"]), reply["prompt_id"])
    assert heard == [
        ("status", 1), ("status", 1), ("execution_start",), ("execution_cached", ["1", "2", "3"]),
        ("executed", "2"), ("progress_state", {"2": DONE}), ("executed", "3"),
        ("progress_state", {"2": DONE, "3": DONE}), ("execution_success",), ("status", 0), ("executing", None),
    ]  # fmt: skip


async def test_a_failure_sends_the_error_and_no_success(client: Client) -> None:
    prompt = {"2": {"class_type": "SampleFail", "inputs": {"text": "boom"}}}
    async with client.listen("failure") as listener:
        await listener.next()
        listener.messages.clear()
        reply = await client.queue(prompt, client_id="failure")
        messages = await listener.until_idle(reply["prompt_id"])
    assert shapes(messages, reply["prompt_id"]) == [
        ("status", 1), ("status", 1), ("execution_start",), ("execution_cached", []),
        ("progress_state", {"2": RUNNING}), ("executing", "2"), ("execution_error",), ("status", 0),
        ("executing", None),
    ]  # fmt: skip
    error = next(m["data"] for m in messages if m["type"] == "execution_error")
    assert set(error) == {
        "prompt_id", "node_id", "node_type", "executed", "exception_message", "exception_type", "traceback",
        "current_inputs", "current_outputs", "timestamp",
    }  # fmt: skip
    assert (error["node_id"], error["node_type"], error["executed"]) == ("2", "SampleFail", [])


async def test_an_interrupt_sends_its_event_and_then_the_end(client: Client) -> None:
    async with client.listen("stopped") as listener:
        await listener.next()
        reply = await client.queue(waiting(10.0, 204), client_id="stopped")
        while (await listener.until("executing"))["data"]["node"] != "2":
            pass
        await client.post("/interrupt", {"prompt_id": reply["prompt_id"]})
        messages = await listener.until_idle(reply["prompt_id"])
    assert [kind for kind, *_ in shapes(messages[1:], reply["prompt_id"])][-3:] == [
        "execution_interrupted", "status", "executing",
    ]  # fmt: skip
    data = next(m["data"] for m in messages if m["type"] == "execution_interrupted")
    assert (data["node_id"], data["node_type"], data["executed"]) == ("2", "SampleWait", ["1"])


async def test_generated_nodes_are_shown_on_their_parent(client: Client) -> None:
    prompt = {
        "1": {"class_type": "SampleRepeat", "inputs": {"text": "go", "times": 2}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }
    async with client.listen("expanded") as listener:
        await listener.next()
        reply = await client.queue(prompt, client_id="expanded")
        messages = await listener.until_idle(reply["prompt_id"])
    executing = [(m["data"]["node"], m["data"].get("display_node")) for m in messages if m["type"] == "executing"]
    assert executing == [("1", "1"), ("1.0.0.1", "1"), ("1.0.0.2", "1"), ("2", "2"), (None, None)]
    state = [m["data"]["nodes"] for m in messages if m["type"] == "progress_state"][-1]
    child = state["1.0.0.1"]
    assert (child["parent_node_id"], child["real_node_id"], child["display_node_id"]) == ("1", "1", "1")
    assert state["1"]["state"] == "finished"
    entry = await client.finished(reply["prompt_id"])
    assert entry["outputs"]["2"] == {"text": ["go!!"]}


async def test_progress_steps_send_the_state_and_the_step(client: Client) -> None:
    prompt = {"4": {"class_type": "SampleSteps", "inputs": {"count": 5}}}
    async with client.listen("steps") as listener:
        await listener.next()
        reply = await client.queue(prompt, client_id="steps")
        messages = await listener.until_idle(reply["prompt_id"])
    steps = [m["data"] for m in messages if m["type"] == "progress"]
    assert steps[-1] == {"value": 5, "max": 5, "prompt_id": reply["prompt_id"], "node": "4"}
    last = [m["data"]["nodes"]["4"] for m in messages if m["type"] == "progress_state"][-1]
    assert (last["state"], last["value"], last["max"]) == ("finished", 5, 5)
    position = next(i for i, m in enumerate(messages) if m["type"] == "progress")
    assert messages[position - 1]["type"] == "progress_state"
    assert {"type": "samples.done", "data": {"node": "4", "count": 5}} in messages


async def test_a_blocked_output_sends_one_error_and_the_run_succeeds(client: Client) -> None:
    prompt = {
        "1": picture(color=205),
        "2": {"class_type": "SampleGate", "inputs": {"value": ["1", 0], "is_open": False, "message": "closed"}},
        "3": saved("2", "blocked"),
        "4": saved("1", "open"),
    }
    async with client.listen("blocked") as listener:
        await listener.next()
        reply = await client.queue(prompt, client_id="blocked")
        messages = await listener.until_idle(reply["prompt_id"])
    (error,) = [m["data"] for m in messages if m["type"] == "execution_error"]
    assert (error["exception_type"], error["exception_message"]) == ("ExecutionBlocked", "Execution Blocked: closed")
    assert (error["node_id"], error["node_type"]) == ("3", "SaveImage")
    assert "timestamp" not in error
    assert [error[key] for key in ("traceback", "current_inputs", "current_outputs")] == [[], [], []]
    entry = await client.finished(reply["prompt_id"])
    assert entry["status"]["completed"]
    assert list(entry["outputs"]) == ["4"]


async def test_only_the_submitter_hears_of_a_run_with_a_client_id(client: Client) -> None:
    async with client.listen("mine") as mine, client.listen("yours") as yours:
        await mine.next()
        await yours.next()
        reply = await client.queue({"1": picture(color=206), "2": saved("1", "mine")}, client_id="mine")
        await mine.until_idle(reply["prompt_id"])
        while (await yours.until("status"))["data"]["status"]["exec_info"]["queue_remaining"]:
            pass
        assert {m["type"] for m in yours.messages} == {"status"}


async def test_without_a_client_id_everybody_hears_states_and_nobody_the_rest(client: Client) -> None:
    async with client.listen("bystander") as listener:
        await listener.next()
        listener.messages.clear()
        await client.run({"1": picture(color=207), "2": saved("1", "anonymous")})
        while (await listener.until("status"))["data"]["status"]["exec_info"]["queue_remaining"]:
            pass
    kinds = [m["type"] for m in listener.messages]
    assert kinds[:2] == ["status", "status"]
    assert set(kinds) == {"status", "progress_state"}


async def test_a_client_that_comes_back_is_told_what_runs(client: Client) -> None:
    async with client.listen("back") as listener:
        await listener.next()
        reply = await client.queue(waiting(10.0, 208), client_id="back")
        while (await listener.until("executing"))["data"]["node"] != "2":
            pass
    async with client.listen("back") as listener:
        assert (await listener.next())["data"]["sid"] == "back"  # type: ignore[index]
        assert await listener.next() == {"type": "executing", "data": {"node": "2"}}
        await client.post("/interrupt", {"prompt_id": reply["prompt_id"]})
        await listener.until_idle(reply["prompt_id"])


async def test_the_newer_socket_of_a_client_is_the_one_addressed(client: Client) -> None:
    async with client.listen("twice") as older, client.listen("twice") as newer:
        await older.next()
        await newer.next()
        reply = await client.queue({"1": picture(color=209), "2": saved("1", "twice")}, client_id="twice")
        await newer.until_idle(reply["prompt_id"])
        await asyncio.sleep(0.05)
        assert [m["type"] for m in older.messages] == ["status"]


async def test_feature_flags_are_answered_once_and_only_first(client: Client) -> None:
    async with client.listen("flags") as listener:
        await listener.next()
        await listener.socket.send_str("no json")
        await listener.socket.send_json({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
        assert await listener.next() == {
            "type": "feature_flags",
            "data": {"supports_preview_metadata": True, "max_upload_size": 104857600},
        }
        await listener.socket.send_json({"type": "feature_flags", "data": {}})
        await listener.socket.send_bytes(b"ignored")
        reply = await client.queue({"1": picture(color=210), "2": saved("1", "flags")}, client_id="flags")
        await listener.until_idle(reply["prompt_id"])
        assert [m["type"] for m in listener.messages].count("feature_flags") == 1


async def test_full_size_pictures_come_as_binary_frames_of_the_form_asked_for(client: Client) -> None:
    prompt = {
        "1": picture(8, 4, color=211),
        "2": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}},
    }
    async with client.listen("plain") as listener:
        await listener.next()
        reply = await client.queue(prompt, client_id="plain")
        await listener.until_idle(reply["prompt_id"])
        (frame,) = listener.frames
    assert frame[:8] == b"\x00\x00\x00\x01\x00\x00\x00\x02"
    assert frame[8:].startswith(b"\x89PNG")
    prompt["1"]["inputs"]["color"] = 212
    async with client.listen("rich", {"supports_preview_metadata": True}) as listener:
        reply = await client.queue(prompt, client_id="rich")
        await listener.until_idle(reply["prompt_id"])
        (frame,) = listener.frames
    assert frame[:4] == b"\x00\x00\x00\x04"
    length = int.from_bytes(frame[4:8], "big")
    assert json.loads(frame[8 : 8 + length]) == {
        "node_id": "2", "prompt_id": reply["prompt_id"], "display_node_id": "2", "parent_node_id": None,
        "real_node_id": "2", "image_type": "image/png",
    }  # fmt: skip
    assert frame[8 + length :].startswith(b"\x89PNG")


async def test_log_lines_go_to_those_who_asked_until_they_ask_no_more(client: Client) -> None:
    async def subscribe(enabled: bool) -> None:
        body = {"clientId": "logs", "enabled": enabled}
        async with client.http.patch(client.address + "/internal/logs/subscribe", json=body) as reply:
            assert reply.status == 200

    log = logging.getLogger("engine.server.something")
    async with client.listen("logs") as listener:
        await listener.next()
        log.warning("nobody listens yet")
        await subscribe(True)
        log.warning("a line for the log")
        message = await listener.until("logs")
        assert "a line for the log" in message["data"]["entries"][0]["m"]
        assert set(message["data"]["entries"][0]) == {"t", "m"}
        assert "size" in message["data"]
        await subscribe(False)
        log.warning("unheard")
        await client.run({"1": picture(color=213), "2": saved("1", "logs")})
        while (await listener.until("status"))["data"]["status"]["exec_info"]["queue_remaining"]:
            pass
        assert not any("unheard" in str(m) or "nobody listens yet" in str(m) for m in listener.messages)


async def test_states_of_a_large_graph_are_thinned_and_the_last_one_is_complete(client: Client) -> None:
    prompt: dict[str, Any] = {"0": {"class_type": "PrimitiveString", "inputs": {"value": "large"}}}
    for number in range(1, 300):
        inputs = {"first": [str(number - 1), 0], "second": ""}
        prompt[str(number)] = {"class_type": "SampleJoin", "inputs": inputs}
    prompt["300"] = {"class_type": "PreviewAny", "inputs": {"source": ["299", 0]}}
    async with client.listen("large") as listener:
        await listener.next()
        reply = await client.queue(prompt, client_id="large")
        messages = await listener.until_idle(reply["prompt_id"])
    states = [m["data"]["nodes"] for m in messages if m["type"] == "progress_state"]
    assert len(states) < 450
    assert len(states[-1]) == 301
    assert {node["state"] for node in states[-1].values()} == {"finished"}
    assert len([m for m in messages if m["type"] == "executing"]) == 302
