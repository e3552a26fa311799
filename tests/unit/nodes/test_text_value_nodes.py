"""Strings, patterns, primitives and flow."""

from __future__ import annotations

import pytest

from engine.core.errors import NodeError
from nodes.flow import preview_any, switch
from nodes.patterns import extract_by_pattern, matches_pattern, replace_by_pattern
from nodes.primitives import primitive_boolean, primitive_float, primitive_int, primitive_string
from nodes.strings import (
    compare_strings,
    concatenate_strings,
    convert_case,
    replace_in_string,
    string_contains,
    string_length,
    substring,
    trim_string,
)


def test_plain_text_nodes_do_what_their_names_say() -> None:
    assert concatenate_strings("a", "b", ", ") == "a, b"
    assert substring("hello", 1, 3) == "el"
    assert substring("hello", -3, 99) == "llo"
    assert string_length("naïve\n") == 6
    assert [convert_case("two wOrds", mode) for mode in ("UPPERCASE", "lowercase", "Capitalize", "Title Case")] == [
        "TWO WORDS", "two words", "Two words", "Two Words"
    ]  # fmt: skip
    assert [trim_string(" a \n", mode) for mode in ("Both", "Left", "Right")] == ["a", "a \n", " a"]
    assert replace_in_string("a cat, a hat", "a ", "the ") == "the cat, the hat"
    assert string_contains("Sunset", "sun", False)
    assert not string_contains("Sunset", "sun", True)


def test_comparisons_respect_case_only_when_asked() -> None:
    cases = {"Starts With": ("Sunset", "sun"), "Ends With": ("Sunset", "SET"), "Equal": ("Sun", "sUN")}
    for mode, (first, second) in cases.items():
        assert compare_strings(first, second, mode, case_sensitive=False)
        assert not compare_strings(first, second, mode, case_sensitive=True)


def test_a_replacement_that_would_explode_is_refused() -> None:
    with pytest.raises(NodeError, match="characters, the limit") as caught:
        replace_in_string("a" * 100_000, "a", "b" * 100_000)
    assert caught.value.input == "replace"
    with pytest.raises(NodeError, match="characters, the limit"):
        replace_by_pattern("a" * 100_000, "a", "b" * 10_000)


def test_patterns_match_with_their_flags() -> None:
    assert matches_pattern("A red Fox", "fox")
    assert not matches_pattern("A red Fox", "fox", case_insensitive=False)
    assert not matches_pattern("one\ntwo", "^two$")
    assert matches_pattern("one\ntwo", "^two$", multiline=True)
    assert matches_pattern("one\ntwo", "one.two", dotall=True)


@pytest.mark.parametrize(
    ("pattern", "mode", "group", "wanted"),
    [
        (r"\d+", "First Match", 1, "12"),
        (r"\d+", "All Matches", 1, "12\n345"),
        (r"([a-z])(\d+)", "All Matches", 1, "a\nb"),
        (r"([a-z])(\d+)", "First Group", 2, "12"),
        (r"([a-z])(\d+)", "All Groups", 2, "12\n345"),
        (r"([a-z])(\d+)", "First Group", 0, "a12"),
        (r"([a-z])(\d+)", "All Groups", 3, ""),
        (r"zzz", "First Match", 1, ""),
        (r"zzz", "All Groups", 1, ""),
        (r"b(\d+)|a", "First Group", 1, ""),
    ],
)
def test_extraction_gives_matches_or_groups_line_by_line(pattern: str, mode: str, group: int, wanted: str) -> None:
    assert extract_by_pattern("a12 b345", pattern, mode, group_index=group) == wanted


def test_replacement_refers_to_groups_and_counts() -> None:
    assert replace_by_pattern("a1 b2 c3", r"([a-z])(\d)", r"\2\1") == "1a 2b 3c"
    assert replace_by_pattern("a1 b2 c3", r"(?P<letter>[a-z])", r"<\g<letter>>", count=2) == "<a>1 <b>2 c3"
    with pytest.raises(NodeError, match="does not fit the pattern"):
        replace_by_pattern("a1", r"a", r"\7")


def test_a_wrong_pattern_is_refused_with_its_position() -> None:
    for call in (matches_pattern, lambda s, p: extract_by_pattern(s, p, "First Match")):
        with pytest.raises(NodeError, match=r"wrong at position 4") as caught:
            call("text", "abc(")
        assert caught.value.input == "regex_pattern"


@pytest.mark.parametrize(
    "search",
    [
        lambda: matches_pattern("a" * 60 + "!", r"^(a|a|aa)+$"),
        lambda: extract_by_pattern("a" * 60 + "!", r"^(a|a|aa)+$", "All Groups"),
        lambda: replace_by_pattern("a" * 60 + "!", r"^(a|a|aa)+$", ""),
    ],
)
def test_a_search_without_end_is_stopped(search) -> None:
    with pytest.raises(NodeError) as caught:
        search()
    assert caught.value.code == "pattern_too_slow"


def test_primitives_pass_their_value_on() -> None:
    assert primitive_int(-(2**63) + 1) == -(2**63) + 1
    assert primitive_float(0.1) == 0.1
    assert primitive_string("") == ""
    assert primitive_boolean(False) is False


def test_the_switch_gives_the_chosen_value() -> None:
    assert switch(True, on_true="yes") == "yes"
    assert switch(False, on_false=0, on_true="yes") == 0


def test_any_value_is_shown_as_text() -> None:
    shown = [preview_any(value).ui["text"][0] for value in ("a\nb", 3, 0.5, True, None, {"a": [1, "é"]}, {1, 2})]
    assert shown == ["a\nb", "3", "0.5", "True", "None", '{"a": [1, "\\u00e9"]}', "{1, 2}"]
