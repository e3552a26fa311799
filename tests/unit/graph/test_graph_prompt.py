"""Prompt files and JSON text."""

from __future__ import annotations

import math

import pytest

from engine.core.errors import GraphError
from engine.graph.graph import BadLink, Link
from engine.graph.json_text import load_json
from engine.graph.prompt import is_prompt, parse_prompt, to_prompt

PROMPT = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64}, "_meta": {"title": "Canvas"}},
    "85:78": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
}


def test_a_two_element_list_of_text_and_integer_is_a_link() -> None:
    assert parse_prompt(PROMPT)["85:78"].inputs["images"] == Link("1", 0)


@pytest.mark.parametrize("value", [[], ["1"], ["1", 0, 0], [1, 0], ["1", "0"], ["1", 0.0], ["1", True], [None, None]])
def test_every_other_list_is_a_bad_link_that_is_kept_as_found(value: list[object]) -> None:
    prompt = {"2": {"class_type": "SaveImage", "inputs": {"images": value}}}
    graph = parse_prompt(prompt)
    assert graph["2"].inputs["images"] == BadLink(value)
    assert to_prompt(graph) == prompt


@pytest.mark.parametrize("value", [[1, 2], ["1", 0], [], {"__value__": 3}, [["1", 0]]])
def test_wrapped_values_unwrap_to_constants_and_wrap_again(value: object) -> None:
    prompt = {"2": {"class_type": "X", "inputs": {"a": {"__value__": value}}}}
    graph = parse_prompt(prompt)
    assert graph["2"].inputs["a"] == value
    assert to_prompt(graph) == prompt


def test_titles_travel_in_meta() -> None:
    graph = parse_prompt(PROMPT)
    assert graph["1"].title == "Canvas"
    assert to_prompt(graph) == PROMPT


def test_a_node_without_class_type_is_read_so_that_validation_can_name_it() -> None:
    assert parse_prompt({"1": {"inputs": {}}})["1"].type == ""


@pytest.mark.parametrize("value", [None, [], "x", 3, [{"class_type": "X"}]])
def test_a_prompt_that_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(GraphError) as caught:
        parse_prompt(value)
    assert caught.value.code == "bad_prompt"


def test_all_malformed_nodes_are_listed_at_once() -> None:
    with pytest.raises(GraphError) as caught:
        parse_prompt({"1": 3, "2": {"class_type": "X", "inputs": []}, "3": {"class_type": "X"}, "4": None})
    assert [problem["node"] for problem in caught.value.details["problems"]] == ["1", "2", "4"]


def test_a_prompt_is_told_from_other_objects() -> None:
    assert is_prompt(PROMPT)
    assert not is_prompt({})
    assert not is_prompt({"nodes": [], "links": []})


def test_json_is_read_from_text_and_from_utf8_bytes_with_a_byte_order_mark() -> None:
    assert load_json('{"a": "ä"}') == load_json('\ufeff{"a": "ä"}'.encode()) == {"a": "ä"}


def test_a_repeated_key_keeps_its_last_value_and_proto_is_an_ordinary_key() -> None:
    assert load_json('{"a": 1, "a": 2, "__proto__": {"b": 3}}') == {"a": 2, "__proto__": {"b": 3}}


def test_nan_and_infinity_are_read_unless_the_caller_refuses_them() -> None:
    values = load_json("[NaN, Infinity, -Infinity]")
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf]
    with pytest.raises(GraphError) as caught:
        load_json("[NaN]", allow_nan=False)
    assert caught.value.code == "json_number"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "bad_json"),
        ("{", "bad_json"),
        ('{"a": }', "bad_json"),
        ('"\n"', "bad_json"),
        (b"\xff\xfe{}", "bad_json"),
        ("[" * 201 + "]" * 201, "json_too_deep"),
        ('{"a":' * 100_000, "json_too_deep"),
        ("9" * 5000, "json_number"),
        ("-" + "9" * 10_000_000, "json_number"),
    ],
)
def test_bad_json_gives_a_typed_error(text: str | bytes, code: str) -> None:
    with pytest.raises(GraphError) as caught:
        load_json(text)
    assert caught.value.code == code


def test_brackets_inside_strings_do_not_count_as_nesting() -> None:
    text = '{"a": "' + "[{" * 1000 + '\\"' + "[" * 300 + '\\\\"}'
    assert load_json(text)["a"].count("[") == 1300


def test_two_hundred_levels_are_accepted() -> None:
    assert isinstance(load_json("[" * 200 + "]" * 200), list)


def test_text_beyond_the_size_limit_is_refused() -> None:
    with pytest.raises(GraphError) as caught:
        load_json('"' + "x" * 100 + '"', max_bytes=100)
    assert caught.value.code == "json_too_large"
