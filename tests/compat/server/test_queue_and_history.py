from __future__ import annotations

import asyncio
import time

from .conftest import Client, picture, saved


def waiting(seconds: float, color: int) -> dict:
    return {
        "1": picture(color=color),
        "2": {"class_type": "SampleWait", "inputs": {"seconds": seconds, "value": ["1", 0]}},
        "3": saved("2", "waited"),
    }


async def _running(client: Client, prompt_id: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        queue = await client.get("/queue")
        if any(item[1] == prompt_id for item in queue["queue_running"]):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the job never ran")


async def test_a_running_job_is_shown_interrupted_by_id_and_ends_as_interrupted(client: Client) -> None:
    reply = await client.queue(waiting(10.0, 101))
    await _running(client, reply["prompt_id"])
    item = next(i for i in (await client.get("/queue"))["queue_running"] if i[1] == reply["prompt_id"])
    assert item[0] == reply["number"]
    assert item[4] == ["3"]
    assert (await client.get("/prompt"))["exec_info"]["queue_remaining"] >= 1
    assert await client.post("/interrupt", {"prompt_id": "somebody else"}) == b""
    assert await client.post("/interrupt", {"prompt_id": reply["prompt_id"]}) == b""
    entry = await client.finished(reply["prompt_id"])
    assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("error", False)
    assert entry["status"]["messages"][-1][0] == "execution_interrupted"


async def test_an_interrupt_without_a_body_stops_what_runs(client: Client) -> None:
    reply = await client.queue(waiting(10.0, 102))
    await _running(client, reply["prompt_id"])
    async with client.http.post(client.address + "/api/interrupt") as answer:
        assert (answer.status, await answer.read()) == (200, b"")
    entry = await client.finished(reply["prompt_id"])
    assert entry["status"]["messages"][-1][0] == "execution_interrupted"


async def test_deleted_waiting_jobs_vanish_and_unknown_ids_are_ignored(client: Client) -> None:
    names = [(await client.queue(waiting(0.6, 110 + number)))["prompt_id"] for number in range(12)]
    queue = await client.get("/queue")
    pending = [item[1] for item in queue["queue_pending"]]
    gone = [name for name in names if name in pending][-2:]
    assert gone
    assert await client.post("/queue", {"delete": [*gone, "unknown"]}) == b""
    assert not set(gone) & {item[1] for item in (await client.get("/queue"))["queue_pending"]}
    assert await client.post("/queue", {"clear": True}) == b""
    assert (await client.get("/queue"))["queue_pending"] == []
    assert await client.get(f"/history/{gone[0]}") == {}
    await client.post("/interrupt")
    while (await client.get("/prompt"))["exec_info"]["queue_remaining"]:
        await asyncio.sleep(0.02)
    assert not set(gone) & set(await client.get("/history"))


async def test_the_history_is_oldest_first_and_can_be_cut(client: Client) -> None:
    prompt = {"1": picture(color=120), "2": saved("1", "history")}
    names = [(await client.queue(prompt))["prompt_id"] for _ in range(4)]
    for name in names:
        await client.finished(name)
    everything = list(await client.get("/history"))
    assert everything[-4:] == names
    assert list(await client.get("/history", params={"max_items": "2"})) == names[-2:]
    offset = str(len(everything) - 4)
    assert list(await client.get("/history", params={"max_items": "2", "offset": offset})) == names[:2]
    assert list(await client.get("/api/history", params={"offset": offset})) == names
    assert await client.get("/history/unknown") == {}
    await client.get("/history", 400, params={"max_items": "many"})


async def test_history_entries_can_be_forgotten(client: Client) -> None:
    prompt = {"1": picture(color=121), "2": saved("1", "forget")}
    names = [(await client.queue(prompt))["prompt_id"] for _ in range(2)]
    for name in names:
        await client.finished(name)
    await client.post("/history", {"delete": [names[0], "unknown"]})
    assert await client.get(f"/history/{names[0]}") == {}
    assert list(await client.get(f"/history/{names[1]}")) == [names[1]]


async def test_memory_can_be_given_back_and_a_dropped_cache_runs_again(client: Client) -> None:
    prompt = {
        "1": {"class_type": "SampleOnce", "inputs": {}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }
    await client.run(prompt)
    entry = await client.run(prompt)
    assert "1" in entry["status"]["messages"][1][1]["nodes"]
    assert await client.post("/free", {"unload_models": True, "free_memory": True}) == b""
    deadline = time.monotonic() + 60
    while "1" in (entry := await client.run(prompt))["status"]["messages"][1][1]["nodes"]:
        assert time.monotonic() < deadline
        await client.post("/free", {"free_memory": True})
    assert entry["outputs"]["2"] == {"text": ["1.5"]}


async def test_jobs_are_listed_in_the_later_shape(client: Client) -> None:
    prompt = {"1": picture(color=122), "2": saved("1", "listed")}
    workflow = {"id": "flow-7", "nodes": []}
    reply = await client.queue(prompt, extra_data={"extra_pnginfo": {"workflow": workflow}})
    await client.finished(reply["prompt_id"])
    listed = await client.get("/api/jobs", params={"status": "completed", "limit": "1", "offset": "0"})
    (job,) = listed["jobs"]
    assert (job["id"], job["status"], job["outputs_count"], job["workflow_id"]) == (
        reply["prompt_id"],
        "completed",
        1,
        "flow-7",
    )
    assert job["preview_output"]["nodeId"] == "2"
    assert job["preview_output"]["mediaType"] == "images"
    assert job["create_time"] <= job["execution_start_time"] <= job["execution_end_time"]
    assert listed["pagination"]["limit"] == 1
    assert listed["pagination"]["has_more"]
    found = await client.get("/jobs", params={"workflow_id": "flow-7"})
    assert [item["id"] for item in found["jobs"]] == [reply["prompt_id"]]
    detail = await client.get(f"/jobs/{reply['prompt_id']}")
    assert detail["workflow"]["prompt"]["1"]["class_type"] == "EmptyImage"
    assert detail["execution_status"]["completed"]
    assert await client.get("/jobs/unknown", 404) == {"error": "Job not found"}
    for query in ({"status": "odd"}, {"limit": "0"}, {"offset": "-1"}, {"sort_order": "up"}):
        assert "error" in await client.get("/jobs", 400, params=query)


async def test_jobs_are_cancelled_by_id_once(client: Client) -> None:
    reply = await client.queue(waiting(10.0, 123))
    await _running(client, reply["prompt_id"])
    assert await client.post(f"/jobs/{reply['prompt_id']}/cancel") == {"cancelled": True}
    await client.finished(reply["prompt_id"])
    assert await client.post("/jobs/cancel", {"job_ids": [reply["prompt_id"], "unknown"]}) == {"cancelled": False}
    await client.post("/jobs/cancel", {"job_ids": "x"}, 400)
    detail = await client.get(f"/jobs/{reply['prompt_id']}")
    assert detail["status"] == "cancelled"
