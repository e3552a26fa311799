r"""Weights in a text: `(word:1.2)` sets a weight, `(word)` multiplies it by 1.1, `\(` and `\)` are plain brackets.

The rules are those ComfyUI users know, down to what happens with brackets that do not match.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["WeightedText", "parse_prompt"]

_EMPHASIS = 1.1
_ESCAPES = (("\\)", "\0\1"), ("\\(", "\0\2"))


@dataclass(frozen=True, slots=True)
class WeightedText:
    """A stretch of text and its weight."""

    text: str
    weight: float


def parse_prompt(text: str) -> list[WeightedText]:
    r"""Stretches of equal weight, in order. Any text is valid; brackets that do not match stay text.

    >>> [(part.text, part.weight) for part in parse_prompt(r"a (red:1.5) fox \(plush\)")]
    [('a ', 1.0), ('red', 1.5), (' fox (plush)', 1.0)]
    """
    for escape, mark in _ESCAPES:
        text = text.replace(escape, mark)
    brackets = _Brackets.of(text)
    found: list[WeightedText] = []
    waiting = [(start, stop, 1.0) for start, stop in reversed(brackets.split(text, 0, len(text)))]
    while waiting:
        start, stop, weight = waiting.pop()
        if stop - start < 2 or text[start] != "(" or text[stop - 1] != ")":
            found.append(WeightedText(_unescape(text[start:stop]), weight))
            continue
        inner_stop, inner_weight = brackets.weight(text, start, stop, weight)
        pieces = brackets.split(text, start + 1, inner_stop)
        waiting.extend((*piece, inner_weight) for piece in reversed(pieces))
    return found


@dataclass(frozen=True, slots=True)
class _Brackets:
    """Where the brackets of a text are, so that each character is looked at once however deep they nest.

    closing: opening bracket → the closing one it matches. before: closing bracket → the bracket before it.
    """

    closing: dict[int, int]
    before: dict[int, int]

    @classmethod
    def of(cls, text: str) -> _Brackets:
        closing: dict[int, int] = {}
        before: dict[int, int] = {}
        opened: list[int] = []
        last = -1
        for place, character in enumerate(text):
            if character == "(":
                opened.append(place)
            elif character == ")":
                before[place] = last
                if opened:
                    closing[opened.pop()] = place
            else:
                continue
            last = place
        return cls(closing, before)

    def split(self, text: str, start: int, stop: int) -> list[tuple[int, int]]:
        """Cut a stretch before each outermost opening bracket and after its closing one.

        A closing bracket without an opening one makes the next opening one plain text.
        """
        pieces: list[tuple[int, int]] = []
        place, depth = start, 0
        while place < stop:
            if text[place] == ")":
                depth -= 1
            elif text[place] == "(" and depth < 0:
                depth += 1
            elif text[place] == "(":
                if place > start:
                    pieces.append((start, place))
                end = self.closing.get(place, stop)
                start = end + 1 if end < stop else stop
                pieces.append((place, start))
                place = start
                continue
            place += 1
        if start < stop:
            pieces.append((start, stop))
        return pieces

    def weight(self, text: str, start: int, stop: int, weight: float) -> tuple[int, float]:
        """Where the text of a bracket ends, and its weight: what follows its last colon if that is a number."""
        first = max(self.before[stop - 1], start) + 1
        colon = text.rfind(":", first, stop - 1)
        if colon > start + 1:
            try:
                asked = float(text[colon + 1 : stop - 1])
            except ValueError:
                asked = math.nan
            if math.isfinite(asked):
                return colon, asked
        return stop - 1, weight * _EMPHASIS


def _unescape(text: str) -> str:
    for escape, mark in _ESCAPES:
        text = text.replace(mark, escape[1:])
    return text
