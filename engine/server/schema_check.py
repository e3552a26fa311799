"""Checks JSON values against the part of JSON Schema that the API description uses.

The schema shown to clients is the check that runs: type, enum, const, minimum, maximum, minLength, maxLength, items,
maxItems, properties, required, additionalProperties.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["find_problem"]

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}


def find_problem(value: Any, schema: Mapping[str, Any], where: str = "") -> tuple[str, str] | None:
    """The first thing wrong with `value`, as (place, sentence), or None. Recurses as deep as the schema."""
    problem = _type_problem(value, schema)
    if problem is None:
        problem = _bound_problem(value, schema)
    if problem is not None:
        return where, problem
    if isinstance(value, dict):
        return _object_problem(value, schema, where)
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            found = find_problem(item, schema["items"], f"{where}[{index}]")
            if found is not None:
                return found
    return None


def _type_problem(value: Any, schema: Mapping[str, Any]) -> str | None:
    wanted = schema.get("type")
    if wanted is None:
        return None
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    for name in names:
        if isinstance(value, _TYPES[name]) and (not isinstance(value, bool) or name == "boolean"):
            return None
    return f"must be {' or '.join(names)}"


def _bound_problem(value: Any, schema: Mapping[str, Any]) -> str | None:
    if "enum" in schema and value not in schema["enum"]:
        return f"must be one of {', '.join(map(str, schema['enum']))}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not math.isfinite(value):
            return "must be a finite number"
        if value < schema.get("minimum", value):
            return f"must be at least {schema['minimum']}"
        if value > schema.get("maximum", value):
            return f"must be at most {schema['maximum']}"
    if isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            return f"must have at least {schema['minLength']} characters"
        if len(value) > schema.get("maxLength", len(value)):
            return f"must have at most {schema['maxLength']} characters"
    if isinstance(value, list) and len(value) > schema.get("maxItems", len(value)):
        return f"must have at most {schema['maxItems']} entries"
    return None


def _object_problem(value: dict[str, Any], schema: Mapping[str, Any], where: str) -> tuple[str, str] | None:
    properties: Mapping[str, Any] = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            return f"{where}.{name}".lstrip("."), "is missing"
    for name, item in value.items():
        place = f"{where}.{name[:60]}".lstrip(".")
        if name in properties:
            found = find_problem(item, properties[name], place)
            if found is not None:
                return found
        elif schema.get("additionalProperties") is False:
            return place, "is not known here"
    return None
