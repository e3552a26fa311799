"""Text search by regular expressions, in Python's syntax, within a time limit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import regex

from engine.api import Bool, NodeError, Range, String, Text, node, require_text_room

__all__ = ["MAX_SEARCH_S", "extract_by_pattern", "matches_pattern", "replace_by_pattern"]

Multiline = Annotated[str, Text(multiline=True)]
MAX_SEARCH_S = 1.0
"""Patterns such as `(a+)+$` would otherwise search for years."""
MAX_PATTERN_CHARACTERS = 10_000


@node("RegexMatch", title="Regex Match", category="utils/string", output_names=("matches",), schema_form=True)
def matches_pattern(
    string: Multiline,
    regex_pattern: Multiline,
    case_insensitive: bool = True,
    multiline: bool = False,
    dotall: bool = False,
) -> Bool:
    """Whether the pattern is found anywhere in the text."""
    pattern = _compiled(regex_pattern, case_insensitive, multiline, dotall)
    with _time_limit():
        return pattern.search(string, timeout=MAX_SEARCH_S) is not None


@node("RegexExtract", title="Regex Extract", category="utils/string", schema_form=True)
def extract_by_pattern(
    string: Multiline,
    regex_pattern: Multiline,
    mode: Literal["First Match", "All Matches", "First Group", "All Groups"],
    case_insensitive: bool = True,
    multiline: bool = False,
    dotall: bool = False,
    group_index: Annotated[int, Range(0, 100)] = 1,
) -> String:
    """What the pattern finds: the first match, all matches, or one group of the first or of all; "" for nothing.

    Several results stand on lines of their own. With groups in the pattern, "All Matches" gives the first group of
    each match. A group the pattern does not have, or that took no part in the match, gives nothing.
    """
    pattern = _compiled(regex_pattern, case_insensitive, multiline, dotall)
    with _time_limit():
        if mode.startswith("First"):
            first = pattern.search(string, timeout=MAX_SEARCH_S)
            found = [] if first is None else [first]
        else:
            found = list(pattern.finditer(string, timeout=MAX_SEARCH_S))
    if mode == "First Match":
        group = 0
    elif mode == "All Matches":
        group = 1 if pattern.groups else 0
    else:
        group = group_index
    if group > pattern.groups:
        return ""
    # Groups of a look-ahead may overlap, so that the matches of a short text can be long together.
    require_text_room(sum(end - start + 1 for start, end in (match.span(group) for match in found)), "string")
    texts = [match.group(group) for match in found]
    if mode == "All Matches":
        return "\n".join(text or "" for text in texts)
    return "\n".join(text for text in texts if text is not None)


@node(
    "RegexReplace",
    title="Regex Replace",
    category="utils/string",
    optional=("case_insensitive", "multiline", "dotall", "count"),
    schema_form=True,
)
def replace_by_pattern(
    string: Multiline,
    regex_pattern: Multiline,
    replace: Multiline,
    case_insensitive: bool = True,
    multiline: bool = False,
    dotall: bool = False,
    count: Annotated[int, Range(0, 100)] = 0,
) -> String:
    r"""Matches replaced, at most `count` of them (0: all). `\1` or `\g<name>` in the replacement is a group's text."""
    pattern = _compiled(regex_pattern, case_insensitive, multiline, dotall)
    length = 0

    def expanded(match: regex.Match[str]) -> str:
        nonlocal length
        text = match.expand(replace)
        length += len(text)
        require_text_room(length, "replace")
        return text

    with _time_limit():
        try:
            return pattern.sub(expanded, string, count=count, timeout=MAX_SEARCH_S)
        except (regex.error, IndexError) as error:
            raise NodeError(
                f"The replacement does not fit the pattern: {error}.",
                code="bad_replacement",
                hint="Refer only to groups the pattern has.",
                input="replace",
            ) from error


def _compiled(text: str, case_insensitive: bool, multiline: bool, dotall: bool) -> regex.Pattern[str]:
    if len(text) > MAX_PATTERN_CHARACTERS:
        raise NodeError(
            f"The pattern has {len(text)} characters, the limit is {MAX_PATTERN_CHARACTERS}.",
            code="bad_pattern",
            hint="Shorten the pattern.",
            input="regex_pattern",
        )
    flags = regex.V0
    for is_wanted, flag in ((case_insensitive, regex.IGNORECASE), (multiline, regex.MULTILINE), (dotall, regex.DOTALL)):
        flags |= flag if is_wanted else 0
    try:
        return regex.compile(text, flags)
    except (regex.error, RecursionError, OverflowError) as error:
        position = getattr(error, "pos", None)
        where = "" if position is None else f" at position {position}"
        raise NodeError(
            f"The pattern {text[:80]!r} is wrong{where}: {getattr(error, 'msg', error)}.",
            code="bad_pattern",
            hint="Write \\ before characters that are meant literally.",
            input="regex_pattern",
        ) from error


@contextmanager
def _time_limit() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise NodeError(
            f"The search took longer than {MAX_SEARCH_S:g} s and was stopped.",
            code="pattern_too_slow",
            hint="Avoid repetitions inside repetitions, such as (a+)+.",
            input="regex_pattern",
        ) from error
