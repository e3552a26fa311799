"""Text work an editor does while it builds a prompt: comments, `{a|b}` choices, `%…%` in file names. All linear."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import Any

from engine.graph.widget_values import editor_text

__all__ = ["choose_alternatives", "replace_tokens", "strip_comments"]

_COMMENT = re.compile(r"/[/*]")
_LINE_END = re.compile("[\n\r\u2028\u2029]")
_CHOICE_MARK = re.compile(r"\\[{}]|[{|}]")
_TOKEN = re.compile(r"%([^%]+)%")
_DATE_PART = re.compile(r"yyyy|yy|MM|M|dd|d|hh|h|mm|m|ss|s")
_UNSAFE = re.compile(r"[/?<>\\:*|\"\x00-\x1f\x7f]")


def strip_comments(text: str) -> str:
    """Remove `/* … */` and `// …` to the end of the line (also inside `http://`). An unclosed `/*` stays."""
    kept: list[str] = []
    position = 0
    closes = True
    search_from = 0
    while mark := _COMMENT.search(text, search_from):
        start = mark.start()
        if mark.group() == "//":
            end_of_line = _LINE_END.search(text, start)
            end = end_of_line.start() if end_of_line else len(text)
        else:
            close = text.find("*/", start + 2) if closes else -1
            if close < 0:
                closes = False
                search_from = start + 1
                continue
            end = close + 2
        kept.append(text[position:start])
        position = search_from = end
    return "".join([*kept, text[position:]])


def choose_alternatives(text: str, rng: Random) -> str:
    """Replace every `{a|b|c}` by one of its alternatives, innermost first; `\\{` and `\\}` become plain braces.

    A brace that is never closed, or never opened, stays.
    """
    # Texts are trees of pieces until the end, so that deep nesting never copies the same text twice.
    stack: list[tuple[list[list[Any]], list[Any]]] = []
    options: list[list[Any]] = []
    parts: list[Any] = []
    position = 0
    for mark in _CHOICE_MARK.finditer(text):
        parts.append(text[position : mark.start()])
        position = mark.end()
        sign = mark.group()
        if sign == "{":
            stack.append((options, parts))
            options, parts = [], []
        elif len(sign) == 2:
            parts.append(sign[1])
        elif not stack:
            parts.append(sign)
        elif sign == "|":
            options.append(parts)
            parts = []
        else:
            chosen = rng.choice([*options, parts])
            options, parts = stack.pop()
            parts.append(chosen)
    parts.append(text[position:])
    while stack:
        unclosed: list[Any] = ["{"]
        for option in options:
            unclosed += (option, "|")
        unclosed.append(parts)
        options, parts = stack.pop()
        parts.append(unclosed)
    return _flat(parts)


def _flat(parts: list[Any]) -> str:
    """The text of a tree of pieces."""
    found: list[str] = []
    waiting: list[Any] = [parts]
    while waiting:
        piece = waiting.pop()
        if isinstance(piece, str):
            found.append(piece)
        else:
            waiting.extend(reversed(piece))
    return "".join(found)


def replace_tokens(text: str, now: datetime, widget_value: Callable[[str, str], Any]) -> str:
    """Replace `%date:FORMAT%` and `%Node.widget%` in a file name.

    Args:
        text: the file name prefix.
        now: local time.
        widget_value: the value of a widget of the node of that name, or None when there is none.

    Tokens that mean nothing here (`%width%`, unknown nodes) stay for the server. Characters that file names must not
    have become `_` in the inserted values.
    """

    def replacement(match: re.Match[str]) -> str:
        parts = match.group(1).split(".")
        if parts[0].startswith("date:"):
            return _DATE_PART.sub(lambda part: _date_part(part.group(), now), parts[0][5:])
        if len(parts) != 2:
            return match.group()
        value = widget_value(parts[0], parts[1])
        return match.group() if value is None else _UNSAFE.sub("_", editor_text(value))

    return _TOKEN.sub(replacement, text)


def _date_part(code: str, now: datetime) -> str:
    numbers = {"y": now.year, "M": now.month, "d": now.day, "h": now.hour, "m": now.minute, "s": now.second}
    if code == "yy":
        return f"{now.year % 100:02}"
    return f"{numbers[code[0]]:0{len(code)}}"
