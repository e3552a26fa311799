"""Plain text: joining, cutting, replacing, comparing."""

from __future__ import annotations

from typing import Annotated, Literal

from engine.api import Bool, Int, Options, String, Text, node, require_text_room

__all__ = [
    "compare_strings",
    "concatenate_strings",
    "convert_case",
    "replace_in_string",
    "string_contains",
    "string_length",
    "substring",
    "trim_string",
]

Multiline = Annotated[str, Text(multiline=True)]
SingleLine = Annotated[str, Options(multiline=False)]


@node("StringConcatenate", title="Concatenate", category="utils/string", schema_form=True)
def concatenate_strings(string_a: Multiline, string_b: Multiline, delimiter: SingleLine = "") -> String:
    """Both texts with the delimiter between."""
    require_text_room(len(string_a) + len(delimiter) + len(string_b), "string_b")
    return string_a + delimiter + string_b


@node("StringSubstring", title="Substring", category="utils/string", schema_form=True)
def substring(string: Multiline, start: int, end: int) -> String:
    """Characters from `start` up to, not including, `end`; numbers below 0 count from the end."""
    return string[start:end]


@node("StringLength", title="Length", category="utils/string", output_names=("length",), schema_form=True)
def string_length(string: Multiline) -> Int:
    """The number of characters."""
    return len(string)


@node("CaseConverter", title="Case Converter", category="utils/string", schema_form=True)
def convert_case(string: Multiline, mode: Literal["UPPERCASE", "lowercase", "Capitalize", "Title Case"]) -> String:
    """All upper case, all lower case, only the first letter upper case, or the first letter of every word."""
    if mode == "UPPERCASE":
        return string.upper()
    if mode == "lowercase":
        return string.lower()
    return string.capitalize() if mode == "Capitalize" else string.title()


@node("StringTrim", title="Trim", category="utils/string", schema_form=True)
def trim_string(string: Multiline, mode: Literal["Both", "Left", "Right"]) -> String:
    """Without white space at both ends, the start, or the end."""
    if mode == "Both":
        return string.strip()
    return string.lstrip() if mode == "Left" else string.rstrip()


@node("StringReplace", title="Replace", category="utils/string", schema_form=True)
def replace_in_string(string: Multiline, find: Multiline, replace: Multiline) -> String:
    """Every occurrence of `find` replaced."""
    require_text_room(len(string) + string.count(find) * (len(replace) - len(find)), "replace")
    return string.replace(find, replace)


@node("StringContains", title="Contains", category="utils/string", output_names=("contains",), schema_form=True)
def string_contains(string: Multiline, substring: Multiline, case_sensitive: bool = True) -> Bool:
    """Whether the text contains the other."""
    return substring in string if case_sensitive else substring.lower() in string.lower()


@node("StringCompare", title="Compare", category="utils/string", schema_form=True)
def compare_strings(
    string_a: Multiline,
    string_b: Multiline,
    mode: Literal["Starts With", "Ends With", "Equal"],
    case_sensitive: bool = True,
) -> Bool:
    """Whether the first text starts with, ends with, or equals the second."""
    first, second = (string_a, string_b) if case_sensitive else (string_a.lower(), string_b.lower())
    if mode == "Equal":
        return first == second
    return first.startswith(second) if mode == "Starts With" else first.endswith(second)
