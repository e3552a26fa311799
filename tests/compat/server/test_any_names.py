from __future__ import annotations

from typing import Any

from .conftest import Client


def collect(**inputs: Any) -> dict[str, Any]:
    return {"class_type": "SampleCollect", "inputs": {"start": 1, **inputs}}


async def text_of(client: Client, prompt: dict[str, Any], node: str = "1") -> str:
    entry = await client.run(prompt)
    assert entry["status"]["status_str"] == "success", entry["status"]
    return entry["outputs"][node]["text"][0]


async def test_constants_and_links_of_undeclared_names_reach_the_function(client: Client) -> None:
    lora = {"on": True, "lora": "x.safetensors", "strength": 0.5}
    prompt = {
        "1": collect(lora_1=lora, sizes={"__value__": [1, 2]}, other=["2", 0]),
        "2": {"class_type": "SampleJoin", "inputs": {"first": "a", "second": "b"}},
    }
    assert await text_of(client, prompt) == f"1: lora_1={lora}, other=ab, sizes=[1, 2]"


async def test_a_changed_undeclared_constant_runs_the_node_again(client: Client) -> None:
    assert await text_of(client, {"1": collect(x=1)}) == "1: x=1"
    assert await text_of(client, {"1": collect(x=2)}) == "1: x=2"
    assert await text_of(client, {"1": collect(y=2)}) == "1: y=2"


async def test_the_group_of_hidden_inputs_may_take_every_name_too(client: Client) -> None:
    prompt = {"1": {"class_type": "SampleCollectHidden", "inputs": {"start": 4, "crf": 19}}}
    assert await text_of(client, prompt) == "4: crf=19"


async def test_only_the_undeclared_lazy_input_asked_for_is_fetched(client: Client) -> None:
    prompt = {
        "p": {"class_type": "SamplePickByNumber", "inputs": {"number": 2, "input_1": ["f", 0], "input_2": ["j", 0]}},
        "f": {"class_type": "SampleGate", "inputs": {"value": ["j", 0], "is_open": False, "message": "never"}},
        "j": {"class_type": "SampleJoin", "inputs": {"first": "c", "second": "d"}},
        "1": collect(picked=["p", 0]),
    }
    assert await text_of(client, prompt) == "1: picked=cd"


async def test_a_validator_with_keywords_sees_undeclared_constants(client: Client) -> None:
    body = await client.queue({"1": collect(forbidden=1)}, 400)
    assert "forbidden is not allowed" in str(body["node_errors"]["1"]["errors"])


async def test_the_catalog_lists_only_the_declared_names(client: Client) -> None:
    record = (await client.get("/object_info/SampleCollect"))["SampleCollect"]
    assert record["input"]["optional"] == {"image": ["IMAGE"]}
    record = (await client.get("/object_info/SamplePickByNumber"))["SamplePickByNumber"]
    assert "optional" not in record["input"]
