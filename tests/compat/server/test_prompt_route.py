from __future__ import annotations

import uuid
from typing import Any

import pytest

from .conftest import Client, picture, saved

WIDTH = ["INT", {"default": 512, "min": 1, "max": 16384, "step": 1}]
FAILED = {
    "type": "prompt_outputs_failed_validation",
    "message": "Prompt outputs failed validation",
    "details": "",
    "extra_info": {},
}


async def test_a_prompt_is_queued_runs_and_appears_in_the_history(client: Client) -> None:
    reply = await client.queue({"1": picture(color=1), "2": saved("1", "first")})
    assert set(reply) == {"prompt_id", "number", "node_errors"}
    assert isinstance(reply["number"], int)
    entry = await client.finished(reply["prompt_id"])
    assert entry["status"]["status_str"] == "success"
    image = entry["outputs"]["2"]["images"][0]
    assert image == {"filename": "first_00001_.png", "subfolder": "", "type": "output"}
    data = await client.get("/view", params=image)
    assert data.startswith(b"\x89PNG")


async def test_a_history_entry_has_the_queue_item_messages_and_places(client: Client) -> None:
    workflow = {"nodes": [], "links": [], "version": 0.4}
    prompt = {"1": picture(color=2), "2": saved("1", "entry")}
    reply = await client.queue(
        prompt,
        client_id="me",
        extra_data={
            "extra_pnginfo": {"workflow": workflow},
            "auth_token_comfy_org": "secret",
            "api_key_comfy_org": "secret",
        },
    )
    entry = await client.finished(reply["prompt_id"])
    number, prompt_id, kept, extra, outputs = entry["prompt"]
    assert (number, prompt_id, outputs) == (reply["number"], reply["prompt_id"], ["2"])
    assert kept["1"]["inputs"] == prompt["1"]["inputs"]
    assert extra["client_id"] == "me"
    assert extra["extra_pnginfo"] == {"workflow": workflow}
    assert not {"auth_token_comfy_org", "api_key_comfy_org"} & set(extra)
    status = entry["status"]
    assert (status["status_str"], status["completed"]) == ("success", True)
    assert [kind for kind, _ in status["messages"]] == ["execution_start", "execution_cached", "execution_success"]
    assert all(data["prompt_id"] == prompt_id and data["timestamp"] > 0 for _, data in status["messages"])
    assert entry["meta"]["2"] == {"node_id": "2", "display_node": "2", "parent_node": None, "real_node_id": "2"}


async def test_an_image_carries_the_prompt_and_the_workflow(client: Client) -> None:
    import io
    import json

    from PIL import Image

    workflow = {"nodes": [], "marker": 5}
    entry = await client.run(
        {"1": picture(color=3), "2": saved("1", "meta")}, extra_data={"extra_pnginfo": {"workflow": workflow}}
    )
    data = await client.get("/view", params=entry["outputs"]["2"]["images"][0])
    with Image.open(io.BytesIO(data)) as image:
        assert json.loads(image.text["workflow"]) == workflow
        assert json.loads(image.text["prompt"])["2"]["class_type"] == "SaveImage"


# ------------------------------------------------------------------ errors as observed


async def test_no_prompt(client: Client) -> None:
    body = await client.post("/prompt", {"client_id": "x"}, 400)
    assert body == {
        "error": {
            "type": "no_prompt",
            "message": "No prompt provided",
            "details": "No prompt provided",
            "extra_info": {},
        },
        "node_errors": {},
    }


async def test_missing_input(client: Client) -> None:
    prompt = {"1": {"class_type": "EmptyImage", "inputs": {"height": 4, "batch_size": 1, "color": 0}}, "2": saved("1")}
    assert await client.queue(prompt, 400) == {
        "error": FAILED,
        "node_errors": {
            "1": {
                "errors": [
                    {
                        "type": "required_input_missing",
                        "message": "Required input is missing",
                        "details": "width",
                        "extra_info": {"input_name": "width"},
                    }
                ],
                "dependent_outputs": ["2"],
                "class_type": "EmptyImage",
            }
        },
    }


async def test_wrong_type(client: Client) -> None:
    prompt = {"1": picture(), "2": saved("1")}
    prompt["1"]["inputs"]["width"] = "abc"
    body = await client.queue(prompt, 400)
    assert body["node_errors"]["1"]["errors"] == [
        {
            "type": "invalid_input_type",
            "message": "Failed to convert an input value to a INT value",
            "details": "width, abc, invalid literal for int() with base 10: 'abc'",
            "extra_info": {
                "input_name": "width",
                "input_config": WIDTH,
                "received_value": "abc",
                "exception_message": "invalid literal for int() with base 10: 'abc'",
            },
        }
    ]


async def test_out_of_range(client: Client) -> None:
    prompt = {"1": picture(999999, 0), "2": saved("1"), "3": saved("1", "other")}
    body = await client.queue(prompt, 400)
    node = body["node_errors"]["1"]
    assert node["dependent_outputs"] == ["2", "3"]
    assert node["errors"] == [
        {
            "type": "value_bigger_than_max",
            "message": "Value 999999 bigger than max of 16384",
            "details": "width",
            "extra_info": {"input_name": "width", "input_config": WIDTH, "received_value": 999999},
        },
        {
            "type": "value_smaller_than_min",
            "message": "Value 0 smaller than min of 1",
            "details": "height",
            "extra_info": {"input_name": "height", "input_config": WIDTH, "received_value": 0},
        },
    ]


async def test_not_in_list(client: Client) -> None:
    methods = ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]
    scale = {
        "class_type": "ImageScaleBy",
        "inputs": {"image": ["1", 0], "upscale_method": "zzz", "scale_by": 2.0},
    }
    body = await client.queue({"1": picture(), "2": scale, "3": saved("2")}, 400)
    assert body["error"] == FAILED
    assert body["node_errors"]["2"]["errors"] == [
        {
            "type": "value_not_in_list",
            "message": "Value not in list",
            "details": f"upscale_method: 'zzz' not in {methods!r}",
            "extra_info": {
                "input_name": "upscale_method",
                "input_config": [methods, {}],
                "received_value": "zzz",
            },
        }
    ]


async def test_bad_link(client: Client) -> None:
    prompt = {"1": picture(), "2": {"class_type": "SaveImage", "inputs": {"images": ["1"], "filename_prefix": "x"}}}
    body = await client.queue(prompt, 400)
    message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
    assert body["error"] == {**FAILED, "details": f"{message}: images"}
    (error,) = body["node_errors"]["2"]["errors"]
    assert (error["type"], error["message"], error["details"]) == ("bad_linked_input", message, "images")
    assert error["extra_info"]["input_name"] == "images"
    assert error["extra_info"]["input_config"][0] == "IMAGE"
    assert error["extra_info"]["received_value"] == ["1"]
    assert body["node_errors"]["2"]["dependent_outputs"] == ["2"]


async def test_link_of_the_wrong_type(client: Client) -> None:
    prompt = {
        "1": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "2": saved("1"),
    }
    body = await client.queue(prompt, 400)
    (error,) = body["node_errors"]["2"]["errors"]
    assert error["type"] == "return_type_mismatch"
    assert error["message"] == "Return type mismatch between linked nodes"
    assert error["details"] == "images, received_type(LATENT) mismatch input_type(IMAGE)"
    assert error["extra_info"]["received_type"] == "LATENT"
    assert error["extra_info"]["linked_node"] == ["1", 0]
    assert body["error"]["details"] == f"{error['message']}: {error['details']}"


async def test_link_to_no_node(client: Client) -> None:
    body = await client.queue({"2": saved("9")}, 400)
    (error,) = body["node_errors"]["2"]["errors"]
    assert error == {
        "type": "exception_during_validation",
        "message": "Exception when validating node",
        "details": "'9'",
        "extra_info": {"exception_type": "KeyError", "traceback": []},
    }


async def test_link_to_a_slot_that_is_not_there(client: Client) -> None:
    prompt = {"1": picture(), "2": saved("1")}
    prompt["2"]["inputs"]["images"] = ["1", 7]
    body = await client.queue(prompt, 400)
    (error,) = body["node_errors"]["2"]["errors"]
    assert error["details"] == "tuple index out of range"
    assert error["extra_info"]["exception_type"] == "IndexError"


async def test_a_cycle(client: Client) -> None:
    invert = {"class_type": "ImageInvert", "inputs": {"image": ["2", 0]}}
    back = {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}}
    body = await client.queue({"1": invert, "2": back, "3": saved("2")}, 400)
    assert body == {"error": FAILED, "node_errors": {}}


async def test_a_file_that_is_not_there(client: Client) -> None:
    prompt = {"1": {"class_type": "LoadImage", "inputs": {"image": "nope.png"}}, "2": saved("1")}
    body = await client.queue(prompt, 400)
    assert body["node_errors"]["1"]["errors"] == [
        {
            "type": "custom_validation_failed",
            "message": "Custom validation failed for node",
            "details": "image - Invalid image file: nope.png",
            "extra_info": {"input_name": "image"},
        }
    ]


async def test_no_outputs(client: Client) -> None:
    wanted = {
        "error": {
            "type": "prompt_no_outputs",
            "message": "Prompt has no outputs",
            "details": "",
            "extra_info": {},
        },
        "node_errors": {},
    }
    assert await client.queue({"1": picture()}, 400) == wanted
    prompt = {"1": picture(), "2": saved("1")}
    assert await client.queue(prompt, 400, partial_execution_targets=[]) == wanted
    assert await client.queue(prompt, 400, partial_execution_targets=["1"]) == wanted


async def test_unknown_class_and_missing_class(client: Client) -> None:
    body = await client.queue({"1": {"class_type": "NopeNode", "inputs": {}}, "2": saved("1")}, 400)
    assert body == {
        "error": {
            "type": "invalid_prompt",
            "message": "Cannot execute because node NopeNode does not exist.",
            "details": "Node ID '#1'",
            "extra_info": {},
        },
        "node_errors": {},
    }
    body = await client.queue({"1": {"inputs": {}}}, 400)
    assert body["error"]["message"] == "Cannot execute because a node is missing the class_type property."
    assert body["error"]["details"] == "Node ID '#1'"


async def test_a_packs_own_validator_refuses(client: Client) -> None:
    prompt = {
        "1": {"class_type": "SampleEven", "inputs": {"number": 3}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }
    body = await client.queue(prompt, 400)
    assert body["node_errors"]["1"]["errors"] == [
        {
            "type": "custom_validation_failed",
            "message": "Custom validation failed for node",
            "details": "number - the number is odd",
            "extra_info": {"input_name": "number"},
        }
    ]


async def test_valid_outputs_run_beside_faulty_ones(client: Client) -> None:
    prompt = {"1": picture(color=4), "2": saved("1", "good"), "3": saved("4"), "4": picture(0)}
    reply = await client.queue(prompt)
    assert list(reply["node_errors"]) == ["4"]
    assert reply["node_errors"]["4"]["dependent_outputs"] == ["3"]
    entry = await client.finished(reply["prompt_id"])
    assert entry["prompt"][4] == ["2"]
    assert list(entry["outputs"]) == ["2"]


# ------------------------------------------------------------------ ids, numbers, targets, values


async def test_the_same_prompt_id_and_body_is_one_job(client: Client) -> None:
    name = str(uuid.uuid4())
    prompt = {"1": picture(color=5), "2": saved("1", "once")}
    first = await client.queue(prompt, prompt_id=name)
    again = await client.queue(prompt, prompt_id=name)
    assert first["prompt_id"] == again["prompt_id"] == name
    assert first["number"] == again["number"]
    other = await client.queue({"1": picture(color=6), "2": saved("1")}, 409, prompt_id=name)
    assert other["error"]["type"] == "duplicate_prompt_id"


async def test_prompt_ids_may_be_any_value_that_fits_an_address(client: Client) -> None:
    number = 7000000 + uuid.uuid4().int % 1000000
    reply = await client.queue({"1": picture(color=7), "2": saved("1")}, prompt_id=number)
    assert reply["prompt_id"] == str(number)
    body = await client.queue({"1": picture(), "2": saved("1")}, 400, prompt_id="a/b")
    assert body["error"]["type"] == "invalid_prompt_id"


async def test_numbers_count_up_also_for_refused_prompts(client: Client) -> None:
    prompt = {"1": picture(color=8), "2": saved("1")}
    first = (await client.queue(prompt))["number"]
    await client.queue({"1": picture()}, 400)
    second = (await client.queue(prompt))["number"]
    assert second > first + 1
    assert (await client.queue(prompt, number=2.5))["number"] == 2.5
    assert (await client.queue(prompt, front=True))["number"] < 0


async def test_only_the_targets_run(client: Client) -> None:
    prompt = {"1": picture(color=9), "2": saved("1", "left"), "3": saved("1", "right")}
    entry = await client.run(prompt, partial_execution_targets=["3"])
    assert list(entry["outputs"]) == ["3"]
    assert entry["prompt"][4] == ["3"]


async def test_constants_are_converted_in_place(client: Client) -> None:
    prompt = {"1": picture(color=10), "2": saved("1", "converted")}
    prompt["1"]["inputs"].update(width=32.7, height="8", batch_size=True)
    entry = await client.run(prompt)
    inputs = entry["prompt"][2]["1"]["inputs"]
    assert (inputs["width"], inputs["height"], inputs["batch_size"]) == (32, 8, 1)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"5", b'{"prompt": []}', b'{"prompt": {"1": 5}}', b'{"prompt": {}, "extra_data": 3}',
        b'{"prompt": {}, "number": "x"}', b'{"prompt": {}, "number": Infinity}', b"\xff\xfe", b"[" * 5000,
        b'{"prompt": {"1": {"class_type": "SaveImage", "inputs": 3}}}',
        b'{"prompt": {}, "partial_execution_targets": 3}',
    ],
)  # fmt: skip
async def test_unreadable_bodies_get_a_typed_400(client: Client, body: bytes) -> None:
    async with client.http.post(client.address + "/prompt", data=body) as reply:
        record: dict[str, Any] = await reply.json()
        assert reply.status == 400
        assert record["error"]["type"]
        assert record["node_errors"] == {}


async def test_a_failing_node_is_told_with_its_place_and_its_inputs(client: Client) -> None:
    entry = await client.run({"1": {"class_type": "SampleFail", "inputs": {"text": "it broke"}}})
    assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("error", False)
    kind, data = entry["status"]["messages"][-1]
    assert kind == "execution_error"
    assert (data["node_id"], data["node_type"], data["exception_type"]) == ("1", "SampleFail", "ValueError")
    assert data["exception_message"].startswith("it broke\n")
    assert data["current_inputs"] == {"text": ["it broke"]}
    assert any("raise ValueError(text)" in line for line in data["traceback"])
