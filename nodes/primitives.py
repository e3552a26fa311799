"""Values typed by hand."""

from __future__ import annotations

from typing import Annotated

from engine.api import Bool, Float, Int, Options, Range, String, Text, node

__all__ = ["primitive_boolean", "primitive_float", "primitive_int", "primitive_string", "primitive_string_multiline"]

_LIMIT = 2**63 - 1


@node("PrimitiveString", title="String", category="utils/primitive", schema_form=True)
def primitive_string(value: Annotated[str, Options(multiline=False)]) -> String:
    """A single line of text."""
    return value


@node("PrimitiveStringMultiline", title="String (Multiline)", category="utils/primitive", schema_form=True)
def primitive_string_multiline(value: Annotated[str, Text(multiline=True)]) -> String:
    """Text of several lines."""
    return value


@node("PrimitiveInt", title="Int", category="utils/primitive", schema_form=True)
def primitive_int(value: Annotated[int, Range(-_LIMIT, _LIMIT), Options(control_after_generate=True)]) -> Int:
    """A whole number."""
    return value


@node("PrimitiveFloat", title="Float", category="utils/primitive", schema_form=True)
def primitive_float(value: Annotated[float, Range(-_LIMIT, _LIMIT)]) -> Float:
    """A number with fractions."""
    return value


@node("PrimitiveBoolean", title="Boolean", category="utils/primitive", schema_form=True)
def primitive_boolean(value: bool) -> Bool:
    """A truth value: on or off."""
    return value
