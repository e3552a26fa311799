"""JSON text of unknown origin → values, bounded in size, depth and digits before the parser sees it.

Policy: a repeated key keeps its last value and `__proto__` is a key like any other; NaN and Infinity are read (real
prompt files carry them) unless the caller refuses them; a lone surrogate escape is kept, because editors write them.
"""

from __future__ import annotations

import json
import sys
from array import array
from collections.abc import Callable
from itertools import accumulate
from typing import Any, NoReturn

from engine.core.errors import GraphError

__all__ = ["MAX_JSON_BYTES", "MAX_JSON_DEPTH", "load_json"]

MAX_JSON_BYTES = 64 << 20
MAX_JSON_DEPTH = 200
_MAX_DIGITS = 4300
_BRACKETS = bytes.maketrans(b"[]{}", b"\x01\xff\x01\xff")
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def load_json(
    text: str | bytes,
    *,
    max_bytes: int = MAX_JSON_BYTES,
    max_depth: int = MAX_JSON_DEPTH,
    allow_nan: bool = True,
) -> Any:
    """Parse JSON text.

    Args:
        text: a string, or UTF-8 bytes with or without a byte order mark.
        max_bytes: longest text accepted (characters, for a string).
        max_depth: deepest nesting of lists and objects accepted.
        allow_nan: whether NaN, Infinity and -Infinity are read as floats.

    Raises GraphError with code json_too_large, json_too_deep, json_number or bad_json.
    """
    if len(text) > max_bytes:
        raise GraphError(
            f"The JSON text is {len(text)} bytes long; at most {max_bytes} are accepted.", code="json_too_large"
        )
    if isinstance(text, bytes):
        text = _decode(text)
    if text.count("[") + text.count("{") > max_depth and _depth(text) > max_depth:
        raise GraphError(f"The JSON text nests deeper than {max_depth} levels.", code="json_too_deep")
    try:
        return json.loads(text, parse_int=_integer_reader(), parse_constant=None if allow_nan else _refuse_constant)
    except RecursionError:
        raise GraphError("The JSON text nests too deeply.", code="json_too_deep") from None
    except json.JSONDecodeError as error:
        raise GraphError(
            f"This is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.",
            code="bad_json",
            hint="Export the file again, or check it with a JSON linter.",
        ) from None
    except ValueError:
        raise GraphError(f"The JSON text has a number of more than {_MAX_DIGITS} digits.", code="json_number") from None


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise GraphError(
            f"This is not JSON: byte {error.start} is not UTF-8.", code="bad_json", hint="Save the file as UTF-8."
        ) from None


def _depth(text: str) -> int:
    """Deepest nesting. Strings are cut out with whole-text operations, so hostile text costs linear time."""
    bare = text.replace("\\\\", "").replace('\\"', "")
    outside = "".join(bare.split('"')[::2]).encode("ascii", "replace")
    steps = array("b", outside.translate(_BRACKETS, _NOT_BRACKETS))
    return max(accumulate(steps), default=0)


def _integer_reader() -> Callable[[str], int] | None:
    """None where Python itself refuses to convert thousands of digits (which takes quadratic time), else a check."""
    limit = getattr(sys, "get_int_max_str_digits", lambda: 0)()
    return None if 0 < limit <= _MAX_DIGITS else _integer


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"{len(digits)} digits")
    return int(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise GraphError(f"The JSON text has the value {name}, which JSON does not know.", code="json_number")
