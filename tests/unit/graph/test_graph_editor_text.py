"""Comments, alternatives and file name tokens."""

from __future__ import annotations

from datetime import datetime
from random import Random

import pytest

from engine.graph.editor_text import choose_alternatives, replace_tokens, strip_comments
from engine.graph.widget_values import editor_text

NOW = datetime(2024, 1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a // b\nc", "a \nc"),
        ("a /* b\nc */ d", "a  d"),
        ("http://x", "http:"),
        ("a /* b // c */ d", "a  d"),
        ("// a /* b\n*/ c", "\n*/ c"),
        ("a /* b", "a /* b"),
        ("/* a /* b", "/* a /* b"),
        ("/* a // b", "/* a "),
        ("a / b * c", "a / b * c"),
        ("a // b\rc", "a \rc"),
        ("/*/", "/*/"),
        ("", ""),
    ],
)
def test_comments_are_removed(text: str, wanted: str) -> None:
    assert strip_comments(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{a}", "a"),
        ("{a|a}", "a"),
        ("x{a|a}y{b}z", "xaybz"),
        ("{a {b|b}|a b}", "a b"),
        ("{|}", ""),
        ("{}", ""),
        (r"\{a|b\}", "{a|b}"),
        (r"{\{|\{}", "{"),
        (r"(a:1.2) \(b\)", r"(a:1.2) \(b\)"),
        ("a|b", "a|b"),
        ("a}b", "a}b"),
        ("a{b|c", "a{b|c"),
        ("a{b|{c|c}|d", "a{b|c|d"),
        ("{{a|b", "{{a|b"),
    ],
)
def test_alternatives_are_chosen_and_stray_braces_stay(text: str, wanted: str) -> None:
    assert choose_alternatives(text, Random(0)) == wanted


def test_every_alternative_can_be_chosen() -> None:
    rng = Random(1)
    assert {choose_alternatives("{a|{b|c}|}", rng) for _ in range(200)} == {"a", "b", "c", ""}


def test_a_hundred_thousand_nested_braces_are_resolved() -> None:
    depth = 100_000
    assert choose_alternatives("{" * depth + "x" + "}" * depth, Random(0)) == "x"
    assert choose_alternatives("{" * depth, Random(0)) == "{" * depth
    long = "y" * depth
    assert choose_alternatives("{" * depth + long + "|}" * depth, Random(0)) in ("", long)


def test_hostile_comment_openings_take_linear_time() -> None:
    text = "/* " * 500_000
    assert strip_comments(text) == text
    assert strip_comments(text + "*/") == ""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("%date:yyyy-MM-dd%", "2024-01-02"),
        ("%date:yy M d h m s%", "24 1 2 3 4 5"),
        ("%date:hh:mm:ss.SSS%", "03:04:05"),
        ("%date%", "%date%"),
        ("a_%N.w%_b", "a_7_b"),
        ("%N.path%", "a_b_c_d"),
        ("%N.x% %Q.w% %width% 100%", "%N.x% %Q.w% %width% 100%"),
        ("%a.b.c%", "%a.b.c%"),
        ("%%", "%%"),
    ],
)
def test_tokens_of_file_names_are_replaced(text: str, wanted: str) -> None:
    values = {("N", "w"): 7.0, ("N", "path"): 'a/b\\c"d'}
    assert replace_tokens(text, NOW, lambda node, widget: values.get((node, widget))) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(None, ""), (True, "true"), (1.0, "1"), (1.5, "1.5"), (12, "12"), ("x", "x"), ([1, "a"], "1,a")],
)
def test_values_look_as_in_a_text_field(value: object, wanted: str) -> None:
    assert editor_text(value) == wanted
