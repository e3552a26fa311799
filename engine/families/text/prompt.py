r"""Weights in a text: `(word:1.2)` sets a weight, `(word)` multiplies it by 1.1, `\(` and `\)` are plain brackets.

The rules are those ComfyUI users know, down to what happens with brackets that do not match.
"""

from __future__ import annotations

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
    found: list[WeightedText] = []
    waiting = [(part, 1.0) for part in reversed(_split_brackets(text))]
    while waiting:
        part, weight = waiting.pop()
        if len(part) < 2 or part[0] != "(" or part[-1] != ")":
            found.append(WeightedText(_unescape(part), weight))
            continue
        inner, inner_weight = _split_weight(part[1:-1], weight)
        waiting.extend((piece, inner_weight) for piece in reversed(_split_brackets(inner)))
    return found


def _split_weight(inner: str, weight: float) -> tuple[str, float]:
    """The text of a bracket and the weight it asks for: what follows the last colon if that is a number."""
    place = inner.rfind(":")
    if place > 0:
        try:
            return inner[:place], float(inner[place + 1 :])
        except ValueError:
            pass
    return inner, weight * _EMPHASIS


def _split_brackets(text: str) -> list[str]:
    """Cut a text before each outermost opening bracket and after its closing one."""
    pieces: list[str] = []
    start = depth = 0
    for place, character in enumerate(text):
        if character == "(":
            if depth == 0 and place > start:
                pieces.append(text[start:place])
                start = place
            depth += 1
        elif character == ")":
            depth -= 1
            if depth == 0:
                pieces.append(text[start : place + 1])
                start = place + 1
    if start < len(text):
        pieces.append(text[start:])
    return pieces


def _unescape(text: str) -> str:
    for escape, mark in _ESCAPES:
        text = text.replace(mark, escape[1:])
    return text
