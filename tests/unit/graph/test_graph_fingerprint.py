"""Content addresses and reasons."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from engine.graph.fingerprint import (
    FileDependency,
    Signature,
    addresses,
    explain,
    file_dependencies,
    never_equal,
    signature,
)
from engine.graph.prompt import parse_prompt
from engine.graph.schema import FileChoices, InputSpec, NodeSpec, OutputSpec

IMAGE = (OutputSpec("IMAGE", "IMAGE"),)
SPECS = {
    "Make": NodeSpec("Make", inputs=(InputSpec("width", "INT"), InputSpec("text", "STRING")), outputs=IMAGE),
    "Edit": NodeSpec(
        "Edit",
        inputs=(
            InputSpec("image", "IMAGE"),
            InputSpec("mask", "IMAGE", "optional"),
            InputSpec("p", "PROMPT", "hidden"),
        ),
        outputs=IMAGE,
    ),
    "Load": NodeSpec(
        "Load",
        inputs=(
            InputSpec("image", "COMBO", choices=FileChoices("input", "image")),
            InputSpec("model", "COMBO", "optional", choices=FileChoices("vae", also=("taesd",))),
        ),
        outputs=IMAGE,
    ),
    "Take": NodeSpec("Take", inputs=(InputSpec("image", "WEBCAM", choices=FileChoices("input", "image")),)),
    "Dice": NodeSpec("Dice", outputs=IMAGE, is_volatile=True),
    "Self": NodeSpec("Self", outputs=IMAGE, depends_on_id=True),
}


def prompt(**changes: Any) -> dict[str, Any]:
    make = {"width": 64, "text": "a", **changes}
    return {
        "1": {"class_type": "Make", "inputs": make},
        "2": {"class_type": "Edit", "inputs": {"image": ["1", 0]}},
    }


def addressed(value: dict[str, Any], **more: Any) -> dict[str, str]:
    return addresses(parse_prompt(value), SPECS, **more)


def test_equal_nodes_have_equal_addresses_and_ids_do_not_matter() -> None:
    first = addressed(prompt())
    renamed = {
        "b": {"class_type": "Edit", "inputs": {"image": ["a", 0]}},
        "a": {"class_type": "Make", "inputs": {"text": "a", "width": 64}},
    }
    assert addressed(renamed) == {"a": first["1"], "b": first["2"]}


@pytest.mark.parametrize("changes", [{"width": 65}, {"text": "b"}, {"width": 64.0}, {"width": True}, {"text": None}])
def test_a_changed_constant_changes_the_node_and_everything_below_it(changes: dict[str, Any]) -> None:
    before, after = addressed(prompt()), addressed(prompt(**changes))
    assert before["1"] != after["1"]
    assert before["2"] != after["2"]


def test_undeclared_constants_and_hidden_inputs_do_not_count() -> None:
    value = prompt(unknown=3)
    value["2"]["inputs"]["p"] = {"whatever": 1}
    assert addressed(value) == addressed(prompt())


def test_undeclared_constants_count_for_a_node_that_takes_every_name() -> None:
    specs = {**SPECS, "Make": replace(SPECS["Make"], any_input=InputSpec("*", "*", "optional"))}

    def address(**extra: Any) -> str:
        return addresses(parse_prompt(prompt(**extra)), specs)["1"]

    values = [{}, {"lora_1": 3}, {"lora_2": 3}, {"lora_1": 3.0}, {"lora_1": {"on": True}}, {"lora_1": "\x1fwidth=64"}]
    assert len({address(**value) for value in values}) == len(values)
    assert address(lora_1={"a": 1, "b": 2}) == address(lora_1={"b": 2, "a": 1})


def test_undeclared_links_count() -> None:
    value = prompt()
    value["2"]["inputs"]["any_1"] = ["1", 0]
    assert addressed(value)["2"] != addressed(prompt())["2"]


def test_the_slot_and_the_input_of_a_link_count() -> None:
    slot, name = prompt(), prompt()
    slot["2"]["inputs"]["image"] = ["1", 1]
    name["2"]["inputs"] = {"mask": ["1", 0]}
    assert len({addressed(v)["2"] for v in (prompt(), slot, name)}) == 3


def test_strings_cannot_imitate_other_inputs() -> None:
    assert addressed(prompt(text="a\x1fwidth=64"))["1"] != addressed(prompt(text="a"))["1"]
    assert addressed(prompt(text="64", width="a"))["1"] != addressed(prompt(text="a", width="64"))["1"]


def test_the_version_of_a_node_counts() -> None:
    newer = {**SPECS, "Make": NodeSpec("Make", inputs=SPECS["Make"].inputs, outputs=IMAGE, version="2")}
    graph = parse_prompt(prompt())
    assert addresses(graph, newer)["2"] != addresses(graph, SPECS)["2"]


def test_a_fingerprint_counts_and_nan_never_equals_itself() -> None:
    plain = addressed(prompt())
    with_digest = addressed(prompt(), fingerprints={"1": "abc"})
    assert plain["1"] != with_digest["1"] == addressed(prompt(), fingerprints={"1": "abc"})["1"]
    always = [addressed(prompt(), fingerprints={"1": [math.nan]})["2"] for _ in range(2)]
    assert always[0] != always[1]
    assert never_equal({"a": [1, [math.nan]]})
    assert not never_equal({"a": [1, "nan", None]})


def test_volatile_nodes_and_what_is_below_them_never_repeat() -> None:
    value = {"1": {"class_type": "Dice"}, "2": {"class_type": "Edit", "inputs": {"image": ["1", 0]}}}
    assert not set(addressed(value).values()) & set(addressed(value).values())


def test_ids_count_only_for_nodes_that_say_so() -> None:
    value = {"1": {"class_type": "Self"}, "2": {"class_type": "Self"}}
    found = addressed(value)
    assert found["1"] != found["2"]
    assert found == addressed(value)


def test_a_linked_file_name_makes_the_address_occur_once() -> None:
    value = {
        "1": {"class_type": "Make", "inputs": {"width": 1, "text": "x.png"}},
        "2": {"class_type": "Load", "inputs": {"image": ["1", 0]}},
    }
    assert addressed(value)["2"] != addressed(value)["2"]


def test_nodes_that_cannot_run_get_addresses_that_occur_once() -> None:
    value = {
        "1": {"class_type": "Edit", "inputs": {"image": ["2", 0]}},
        "2": {"class_type": "Edit", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "Edit", "inputs": {"image": ["9", 0]}},
        "4": {"class_type": "Nope", "inputs": {}},
    }
    assert len(set(addressed(value).values()) | set(addressed(value).values())) == 8


def test_constants_without_a_json_form_make_the_address_occur_once() -> None:
    value = prompt(text={"__value__": object()})
    assert addressed(value)["1"] != addressed(value)["1"]


def test_known_addresses_stand_for_nodes_outside_the_graph() -> None:
    value = {"2": {"class_type": "Edit", "inputs": {"image": ["1", 0]}}}
    whole = addressed(prompt())
    assert addressed(value, known={"1": whole["1"]}) == {"2": whole["2"]}


def test_named_files_are_listed_with_their_folder() -> None:
    value = {
        "1": {"class_type": "Load", "inputs": {"image": "a.png", "model": "x.safetensors"}},
        "2": {"class_type": "Load", "inputs": {"image": "sub/b.png [output]", "model": "taesd"}},
        "3": {"class_type": "Load", "inputs": {"image": ["1", 0]}},
        "4": {"class_type": "Take", "inputs": {"image": "webcam/1.png [temp]"}},
    }
    assert file_dependencies(parse_prompt(value), SPECS) == [
        FileDependency("1", "image", "input", "a.png"),
        FileDependency("1", "model", "vae", "x.safetensors"),
        FileDependency("2", "image", "output", "sub/b.png"),
        FileDependency("4", "image", "temp", "webcam/1.png"),
    ]


def signed(value: dict[str, Any], node: str, specs: dict[str, NodeSpec] = SPECS, **more: Any) -> Signature:
    graph = parse_prompt(value)
    found = addresses(graph, specs, **more)
    return signature(graph[node], specs[graph[node].type], found, **more)


def test_the_first_run_is_explained_as_such() -> None:
    assert explain(None, signed(prompt(), "1")) == {"reason": "first_run"}


def test_a_changed_input_is_named_with_both_values() -> None:
    assert explain(signed(prompt(), "1"), signed(prompt(width=65), "1")) == {
        "reason": "inputs_changed",
        "inputs": [{"input": "width", "was": "64", "is": "65", "upstream": False}],
    }


def test_a_change_upstream_is_told_from_a_change_here() -> None:
    reason = explain(signed(prompt(), "2"), signed(prompt(width=65), "2"))
    assert [(item["input"], item["upstream"]) for item in reason["inputs"]] == [("image", True)]


def test_versions_files_volatility_and_eviction_are_told_apart() -> None:
    old = signed(prompt(), "1")
    newer = {**SPECS, "Make": NodeSpec("Make", inputs=SPECS["Make"].inputs, outputs=IMAGE, version="2")}
    assert explain(old, signed(prompt(), "1", newer))["reason"] == "version_changed"
    assert explain(old, signed(prompt(), "1", fingerprints={"1": "abc"}))["reason"] == "outside_changed"
    assert explain(old, signed(prompt(), "1", fingerprints={"1": math.nan}))["reason"] == "always_runs"
    assert explain(old, signed(prompt(), "1"))["reason"] == "not_kept"
    assert explain(old, signed(prompt(), "2"))["reason"] == "type_changed"


def test_long_values_are_kept_short_in_signatures_and_still_told_apart() -> None:
    first, second = signed(prompt(text="x" * 10_000 + "a"), "1"), signed(prompt(text="x" * 10_000 + "b"), "1")
    assert len(first.inputs["text"]) < 120
    assert explain(first, second)["reason"] == "inputs_changed"
